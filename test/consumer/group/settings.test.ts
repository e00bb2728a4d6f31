import { expect } from 'chai'
import { consumerSettings } from '../../../src/consumer/group/settings.js'
import { describeSchema } from '../../../src/core/settings/leaves.js'
import { openCastellan } from '../../../src/index.js'
import { describeSettings } from '../../../src/server/config/schema.js'

describe('the settings of groups', () => {
  it('are those of `consumer` and `advanced.consumer` in the configuration, as docs/reading.md says', () => {
    const own = describeSchema(consumerSettings).leaves.map(({ path }) => path.join('.'))
    const configured = describeSettings().leaves.map(({ path }) => path.join('.'))
    const ofConsumer = configured.flatMap(name => /^(?:advanced\.)?consumer\.(.+)$/.exec(name)?.[1] ?? [])
    expect(own).to.have.members(ofConsumer)
  })

  it('are checked when a castellan is opened, which names the wrong one', async () => {
    const options = { brokers: '127.0.0.1:1', consumer: { maxRetries: -2 } }
    const error = await openCastellan(options).then(
      () => undefined,
      (reason: Error) => reason
    )
    expect(error?.message).to.match(/consumer\.maxRetries/)
  })
})
