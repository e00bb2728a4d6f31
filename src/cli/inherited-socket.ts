import { ConfigError } from '../core/errors.js'
import type { Environment } from '../core/settings/setting-names.js'

/** The first descriptor that is handed over: those before it are the standard streams. */
const FIRST_FD = 3

/**
 * The listening socket that systemd, or another program with the same protocol (sd_listen_fds), has handed to this process: the
 * shared port. Several processes may have the same socket: when one of them ends, connections that wait there go to the others.
 *
 * @param pid of this process: variables that are meant for a parent may have been inherited
 * @returns its descriptor; `undefined`: there is none
 * @throws ConfigError when there are several
 */
export function inheritedSocket({ LISTEN_PID, LISTEN_FDS = '0' }: Environment, pid: number): number | undefined {
  if (LISTEN_PID !== String(pid) || LISTEN_FDS === '0') return undefined
  if (LISTEN_FDS !== '1')
    throw new ConfigError(
      `LISTEN_FDS: ${LISTEN_FDS} sockets were handed over, and one is served: that of the shared port`
    )
  return FIRST_FD
}
