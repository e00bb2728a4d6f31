import { lstatSync, type Stats, unlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { CommandError } from './command.js'

/**
 * Maximum length of the path: 107 bytes on Linux, 103 on macOS. Node truncates a longer path and listens on the
 * truncated path.
 */
const MAX_PATH_BYTES = process.platform === 'linux' ? 107 : 103

/**
 * Removes a unix socket that a killed process has left behind. Nothing else is removed.
 *
 * @throws CommandError when the path is too long, is not a socket, has no directory, or is a socket on which a process
 * listens
 */
export async function claimSocketPath(path: string, setting = '--unix-socket (http.unixSocket)'): Promise<void> {
  const length = Buffer.byteLength(path)
  if (length > MAX_PATH_BYTES) {
    throw new CommandError(
      `the path of a unix socket may have ${MAX_PATH_BYTES} bytes, and this one has ${length}: ${path}; choose another one with ${setting}`
    )
  }
  const found = lookAt(path, setting)
  if (!found) {
    if (lookAt(dirname(path), setting)) return
    throw new CommandError(`the directory of ${path} does not exist; create it, or choose another path with ${setting}`)
  }
  if (!found.isSocket())
    throw new CommandError(`${path} exists and is not a socket; choose another path with ${setting}`)
  if (await isAnswered(path)) {
    throw new CommandError(`another process listens on ${path}; choose another path with ${setting}`)
  }
  unlinkSync(path)
}

function lookAt(path: string, setting: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new CommandError(
      `cannot look at ${path} (${code}); let this process use its directory, or choose another path with ${setting}`
    )
  }
}

const isAnswered = (path: string): Promise<boolean> =>
  new Promise(resolve => {
    const socket = connect(path, () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
