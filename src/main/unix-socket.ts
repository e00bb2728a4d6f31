import { lstatSync, unlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { CommandError } from './usage-error.js'

/**
 * Removes the unix socket that a killed process left behind, and nothing else.
 *
 * @throws CommandError when the path is something else, or when a process is listening there
 */
export async function claimSocketPath(path: string, setting = '--unix-socket'): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (!found) return
  if (!found.isSocket())
    throw new CommandError(`${path} exists and is not a socket; choose another path with ${setting}`)
  if (await isAnswered(path)) {
    throw new CommandError(`another process listens on ${path}; choose another path with ${setting}`)
  }
  unlinkSync(path)
}

const isAnswered = (path: string): Promise<boolean> =>
  new Promise(resolve => {
    const socket = connect(path, () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
