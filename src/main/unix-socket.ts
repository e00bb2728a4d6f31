import { lstatSync, unlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { CommandError } from './usage-error.js'

/**
 * Makes room for a unix socket: removes what a process that was killed left behind, and nothing else.
 *
 * @throws CommandError when the path belongs to something else or somebody answers there
 */
export async function claimSocketPath(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (!found) return
  if (!found.isSocket())
    throw new CommandError(`${path} exists and is no socket; choose another path with --unix-socket`)
  if (await isAnswered(path)) {
    throw new CommandError(`another process listens on ${path}; choose another path with --unix-socket`)
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
