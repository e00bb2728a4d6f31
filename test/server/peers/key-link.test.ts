import { expect } from 'chai'
import { useFakeTimers } from 'sinon'
import { closing, pause } from '../../../src/server/peers/key-link.js'

describe('peers: pauses of calls about keys', () => {
  it('end with their time, or when the process stops; then nothing is left of them', async () => {
    const clock = useFakeTimers()
    try {
      const stop = closing()
      let ended = 0
      const wait = (): Promise<void> => pause(1_000, stop.signal).then(() => void ended++)
      const waits = [wait()]
      await clock.tickAsync(1_000)
      expect(ended).to.equal(1)
      for (let more = 0; more < 100; more++) waits.push(wait())
      stop.abort()
      await Promise.all([...waits, wait()])
      expect([ended, clock.countTimers()]).to.deep.equal([102, 0])
    } finally {
      clock.restore()
    }
  })
})
