import { expect } from 'chai'
import { quietLogger } from '../../../src/server/app/quiet-logger.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'

describe('quietLogger', () => {
  const setUp = () => {
    const clock = { now: 0 }
    const lines: LogLine[] = []
    return { clock, lines, log: quietLogger(recordingLogger(lines), () => clock.now) }
  }

  it('writes a line that comes every second less and less often, with how often it was left out', () => {
    const { clock, lines, log } = setUp()
    const writtenAt: number[] = []
    for (; clock.now <= 150_000; clock.now += 1_000) {
      const before = lines.length
      log.warn({ nodeId: 1 }, 'a broker failed')
      if (lines.length > before) writtenAt.push(clock.now / 1_000)
    }
    expect(writtenAt).to.deep.equal([0, 10, 30, 70, 150])
    expect(lines.map(({ fields }) => fields)).to.deep.equal([
      { nodeId: 1 },
      { nodeId: 1, repeated: 9 },
      { nodeId: 1, repeated: 19 },
      { nodeId: 1, repeated: 39 },
      { nodeId: 1, repeated: 79 }
    ])
  })

  it('tells groups apart that read the same partition', () => {
    const { lines, log } = setUp()
    for (const groupId of ['a', 'b', 'a']) log.warn({ topic: 't', partition: 0, groupId }, 'failed')
    expect(lines.map(({ fields }) => (fields as { groupId?: string }).groupId)).to.deep.equal(['a', 'b'])
  })

  it('tells webhooks apart that send the same topic, or none', () => {
    const { lines, log } = setUp()
    for (const webhook of ['a', 'b', 'a']) {
      log.warn({ webhook, topic: 't', partition: 0 }, 'given up')
      log.warn({ webhook, state: 'gone' }, 'sends nothing')
    }
    expect(lines.map(({ fields }) => (fields as { webhook?: string }).webhook)).to.deep.equal(['a', 'a', 'b', 'b'])
  })

  it('tells brokers, topics and levels of importance apart', () => {
    const { lines, log } = setUp()
    log.warn({ nodeId: 1 }, 'failed')
    log.warn({ nodeId: 2 }, 'failed')
    log.error({ topic: 'a', partition: 0 }, 'failed')
    log.error({ topic: 'a', partition: 1 }, 'failed')
    for (let i = 0; i < 3; i++) log.info({}, 'said')
    expect(lines.map(({ message }) => message)).to.deep.equal([
      'failed',
      'failed',
      'failed',
      'failed',
      'said',
      'said',
      'said'
    ])
  })

  it('tells each message apart that a queue loses', () => {
    const { lines, log } = setUp()
    const places = [
      { groupId: 'painters', offset: 7 },
      { groupId: 'painters', offset: 8 },
      { groupId: 'printers', offset: 8 }
    ]
    for (const place of [...places, ...places]) log.warn({ topic: 'jobs', partition: 0, ...place }, 'archived')
    expect(lines.map(({ fields }) => fields)).to.deep.equal(
      places.map(place => ({ topic: 'jobs', partition: 0, ...place }))
    )
  })

  it('takes a line for new after it was not heard of for a while', () => {
    const { clock, lines, log } = setUp()
    for (const at of [0, 5_000, 100_000, 105_000, 110_000]) {
      clock.now = at
      log.warn({}, 'gone')
    }
    expect(lines.map(({ fields }) => fields)).to.deep.equal([{}, { repeated: 1 }, { repeated: 1 }])
  })

  it('does not remember lines without end', () => {
    const { lines, log } = setUp()
    for (let i = 0; i < 5_000; i++) log.warn({ topic: `t${i}` }, 'unknown')
    log.warn({ topic: 't4999' }, 'unknown')
    log.warn({ topic: 't0' }, 'unknown')
    expect(lines).to.have.length(5_001)
  })
})
