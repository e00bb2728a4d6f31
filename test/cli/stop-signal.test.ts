import { EventEmitter } from 'node:events'
import { expect } from 'chai'
import sinon from 'sinon'
import { stopSignal } from '../../src/cli/stop-signal.js'

describe('stopSignal', () => {
  let clock: sinon.SinonFakeTimers
  beforeEach(() => {
    clock = sinon.useFakeTimers()
  })
  afterEach(() => clock.restore())

  const setUp = () => {
    const process = Object.assign(new EventEmitter(), { exit: sinon.fake() })
    return { process, stopped: stopSignal(process as unknown as NodeJS.Process) }
  }

  it('fires at the first signal and ends the process at the second', () => {
    const { process, stopped } = setUp()
    expect(stopped.aborted).to.equal(false)
    process.emit('SIGTERM')
    expect([stopped.aborted, process.exit.callCount]).to.deep.equal([true, 0])
    clock.tick(300)
    process.emit('SIGINT')
    expect(process.exit.args).to.deep.equal([[130]])
  })

  it('takes a signal that npm repeats for the same', () => {
    const { process } = setUp()
    process.emit('SIGINT')
    clock.tick(100)
    process.emit('SIGINT')
    expect(process.exit.callCount).to.equal(0)
    clock.tick(200)
    process.emit('SIGINT')
    expect(process.exit.args).to.deep.equal([[130]])
  })
})
