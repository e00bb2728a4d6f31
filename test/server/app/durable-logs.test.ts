import { expect } from 'chai'
import sinon from 'sinon'
import { silentLogger } from '../../../src/core/model.js'
import { watchDurableLog } from '../../../src/server/app/durable-logs.js'

describe('the watch over the durable log', () => {
  it('notices within a second that the log can be used, and that it cannot', async () => {
    const clock = sinon.useFakeTimers()
    const said: string[] = []
    let why: string | undefined = 'the disk is full'
    const log = { ...silentLogger, info: (_: object, text: string) => void said.push(text) }
    const watch = await watchDurableLog(async () => why, log)
    try {
      expect(watch.problem).to.equal('the disk is full')
      why = undefined
      await clock.tickAsync(1_000)
      expect([watch.problem, ...said]).to.deep.equal([undefined, 'the durable log can be used now'])
      why = 'another process uses it'
      await clock.tickAsync(1_000)
      expect(watch.problem).to.equal('another process uses it')
    } finally {
      watch.stop()
      clock.restore()
    }
  })
})
