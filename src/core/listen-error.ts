import { CastellanError } from './errors.js'

/**
 * An address to listen on, and the names of its settings, for error messages. `fd`: a socket that listens there already, as the
 * process has got it. `mode` is the mode of the file in octal digits.
 */
export type ListenAddress =
  | {
      readonly host: string
      readonly port: number
      readonly fd?: number | undefined
      readonly hostSetting: string
      readonly portSetting: string
    }
  | { readonly unixSocket: string; readonly mode: string; readonly setting: string }

/** Listening on an address failed; the message names the setting to change. */
export class ListenError extends CastellanError {
  override readonly name = 'ListenError'
  constructor(message: string) {
    super('invalidConfig', message, true)
  }
}

/** Describes an error of Node's `listen` for the operator: the cause, and the setting to change. */
export function toListenError({ code }: NodeJS.ErrnoException, address: ListenAddress): ListenError {
  if ('unixSocket' in address) return new ListenError(unixSocketProblem(code, address.unixSocket, address.setting))
  const { host, port, fd, hostSetting, portSetting } = address
  if (fd !== undefined) return new ListenError(`the socket that was handed over (LISTEN_FDS) does not listen (${code})`)
  if (code === 'EADDRINUSE') {
    return new ListenError(
      `port ${port} on ${host} is taken; choose another with ${portSetting} (0 means any free one)`
    )
  }
  if (code === 'EACCES') {
    return new ListenError(
      `port ${port} on ${host} needs more rights than this process has; choose another with ${portSetting}`
    )
  }
  return new ListenError(`cannot listen on ${host} (${code}); choose another address with ${hostSetting}`)
}

function unixSocketProblem(code: string | undefined, path: string, setting: string): string {
  switch (code) {
    case 'EADDRINUSE':
      return `${path} exists already; remove it, or choose another path with ${setting}`
    // Node reports EACCES also for a missing directory.
    case 'EACCES':
    case 'ENOENT':
      return `cannot listen on ${path} (${code}): its directory is missing, or this process may not write to it; create it, change its permissions, or choose another path with ${setting}`
    case 'ENOTDIR':
      return `cannot listen on ${path} (${code}): what should be its directory is a file; choose another path with ${setting}`
    default:
      return `cannot listen on ${path} (${code}); choose another path with ${setting}`
  }
}
