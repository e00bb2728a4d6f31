import { expect } from 'chai'
import { inheritedSocket } from '../../src/cli/inherited-socket.js'
import { ConfigError } from '../../src/core/errors.js'

describe('a socket that systemd hands over', () => {
  it('is the first descriptor behind the standard streams', () => {
    expect(inheritedSocket({ LISTEN_PID: '7', LISTEN_FDS: '1' }, 7)).to.equal(3)
  })

  it('is none where it is meant for another process, or there is none', () => {
    for (const environment of [
      {},
      { LISTEN_FDS: '1' },
      { LISTEN_PID: '6', LISTEN_FDS: '1' },
      { LISTEN_PID: '7' },
      { LISTEN_PID: '7', LISTEN_FDS: '0' }
    ])
      expect(inheritedSocket(environment, 7)).to.equal(undefined)
  })

  it('is refused where there are several, or what is said makes no sense', () => {
    for (const LISTEN_FDS of ['2', '-1', 'x', ''])
      expect(() => inheritedSocket({ LISTEN_PID: '7', LISTEN_FDS }, 7)).to.throw(
        ConfigError,
        /sockets were handed over/
      )
  })
})
