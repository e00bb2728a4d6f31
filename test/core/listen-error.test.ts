import { expect } from 'chai'
import { toListenError } from '../../src/core/listen-error.js'
import { checkRows } from '../support/rows.js'

describe('an address that cannot be listened on', () => {
  const messageOf = (code: string, address: Parameters<typeof toListenError>[1]): string =>
    toListenError(Object.assign(new Error('no'), { code }), address).message
  const port = { host: '::', port: 80, hostSetting: 'a.host', portSetting: 'a.port' }
  const socket = { unixSocket: '/run/a.sock', mode: '660', setting: 'a.unixSocket' }
  const WRONG_DIRECTORY =
    'its directory is missing, or this process may not write to it; create it, change its permissions, or choose another path with a.unixSocket'

  it('each error is told with what to do about it', () =>
    checkRows(
      [
        ['EADDRINUSE', port, 'port 80 on :: is taken; choose another with a.port (0 means any free one)'],
        ['EACCES', port, 'port 80 on :: needs more rights than this process has; choose another with a.port'],
        ['EADDRNOTAVAIL', port, 'cannot listen on :: (EADDRNOTAVAIL); choose another address with a.host'],
        ['EACCES', socket, `cannot listen on /run/a.sock (EACCES): ${WRONG_DIRECTORY}`],
        ['ENOENT', socket, `cannot listen on /run/a.sock (ENOENT): ${WRONG_DIRECTORY}`],
        ['EADDRINUSE', socket, '/run/a.sock exists already; remove it, or choose another path with a.unixSocket'],
        [
          'ENOTDIR',
          socket,
          'cannot listen on /run/a.sock (ENOTDIR): what should be its directory is a file; choose another path with a.unixSocket'
        ],
        ['EROFS', socket, 'cannot listen on /run/a.sock (EROFS); choose another path with a.unixSocket']
      ] as const,
      ([code, address, says]) => expect(messageOf(code, address)).to.equal(says)
    ))
})
