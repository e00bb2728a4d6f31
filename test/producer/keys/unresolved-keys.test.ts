import { expect } from 'chai'
import sinon from 'sinon'
import { UnavailableError } from '../../../src/core/errors.js'
import { LocalKeys } from '../../../src/producer/keys/local-keys.js'
import { KeyedKafka, KeyedProcess } from '../../deployment/gateways/key-gateways.js'
import { SimulatedDisk } from '../../support/simulated-disk.js'

describe('keys of an earlier process whose outcomes cannot be read', () => {
  let clock: sinon.SinonFakeTimers
  beforeEach(() => (clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] })))
  afterEach(() => clock.restore())

  it('stay open, and cost the process nothing but a line of the log', async () => {
    const [disk, kafka] = [new SimulatedDisk(), new KeyedKafka()]
    const former = new KeyedProcess('former', undefined, kafka)
    await former.open(disk)
    kafka.isUp = false
    void former.send('key', 'one')
    while (kafka.accepted.length === 0) await new Promise(resolve => setImmediate(resolve))
    const errors: unknown[] = []
    const next = new LocalKeys({
      windowMs: 86_400_000,
      maxBytes: 2 ** 24,
      now: Date.now,
      newSalt: () => 5,
      onFailure: error => errors.push(`not written: ${error}`),
      onUnresolved: error => errors.push(error)
    })
    const unreadable = new UnavailableError('logUnavailable', 'not now')
    const log = {
      read: async () => ({ entries: [], nextSequence: 0, isAtEnd: true }),
      states: () => Promise.reject(unreadable)
    }
    await next.opened(log, disk.directory)
    await clock.tickAsync(60_000)
    expect(errors).to.deep.equal([unreadable])
    expect(next.size).to.equal(1)
  })
})
