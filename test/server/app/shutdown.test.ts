import { expect } from 'chai'
import sinon from 'sinon'
import { Shutdown } from '../../../src/server/app/shutdown.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'

describe('Shutdown', () => {
  let clock: sinon.SinonFakeTimers
  beforeEach(() => {
    clock = sinon.useFakeTimers()
  })
  afterEach(() => clock.restore())

  const setUp = (): { shutdown: Shutdown; order: string[]; lines: LogLine[] } => {
    const lines: LogLine[] = []
    return { shutdown: new Shutdown(recordingLogger(lines), () => clock.now), order: [], lines }
  }

  it('undoes the last first, each step after the other', async () => {
    const { shutdown, order } = setUp()
    for (const name of ['broker', 'router', 'http']) {
      shutdown.add(name, async () => {
        order.push(`${name} begins`)
        await Promise.resolve()
        order.push(`${name} ends`)
      })
    }
    await shutdown.run(10_000)
    expect(order).to.deep.equal([
      'http begins',
      'http ends',
      'router begins',
      'router ends',
      'broker begins',
      'broker ends'
    ])
  })

  it('leaves a step that hangs or fails behind, and says so', async () => {
    const { shutdown, order, lines } = setUp()
    shutdown.add('bottom', async () => void order.push('bottom'))
    shutdown.add('failing', () => Promise.reject(new Error('no')))
    shutdown.add('hanging', () => new Promise(() => undefined))
    const done = shutdown.run(10_000)
    await clock.tickAsync(10_000)
    await done
    expect(order).to.deep.equal(['bottom'])
    expect(lines.map(({ message }) => message)).to.deep.equal([
      'hanging took longer than 9000 ms; going on',
      'failing failed; going on'
    ])
  })

  it('never takes longer than it may, and leaves time for the last step', async () => {
    const { shutdown } = setUp()
    const granted: number[] = []
    const hang = (remainingMs: number): Promise<void> => {
      granted.push(remainingMs)
      return new Promise(() => undefined)
    }
    shutdown.add('last', hang)
    shutdown.add('partitions', hang)
    shutdown.add('requests', hang, 0.5)
    const done = shutdown.run(10_000)
    await clock.tickAsync(10_100)
    await done
    expect(granted[0]).to.equal(4_500)
    expect(granted[1]! + granted[0]!).to.be.at.most(9_000)
    expect(granted[2]).to.be.greaterThan(500)
  })
})
