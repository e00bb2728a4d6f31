import { expect } from 'chai'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { App } from '../../../src/server/app/app.js'
import { onBroker } from '../../support/stage.js'
import { inWorld } from './in-world.js'

const { GROUP_AUTHORIZATION_FAILED, TOPIC_AUTHORIZATION_FAILED } = errorCodes

describe('a group of Kafka-Pixy that Kafka does not allow to read', () => {
  inWorld()
  const stage = onBroker(undefined, true)
  let app: App
  beforeEach(async () => {
    stage.cluster.createTopic('orders')
    app = await stage.app()
  })

  const ask = async (): Promise<string> => {
    const answer = await fetch(`${app.urls.shared}/pixy/topics/orders/messages?group=billing`)
    return `${answer.status} ${(await answer.text()).replaceAll(/\s+/g, ' ')}`
  }

  for (const [api, errorCode, names] of [
    ['FindCoordinator', GROUP_AUTHORIZATION_FAILED, 'group'],
    ['JoinGroup', GROUP_AUTHORIZATION_FAILED, 'group'],
    ['OffsetFetch', GROUP_AUTHORIZATION_FAILED, 'group'],
    ['ListOffsets', TOPIC_AUTHORIZATION_FAILED, 'topic'],
    ['Fetch', TOPIC_AUTHORIZATION_FAILED, 'topic'],
    ['Metadata', TOPIC_AUTHORIZATION_FAILED, 'topic']
  ] as const) {
    it(`tells so to every client, and not that there was no message: ${api}`, async () => {
      stage.cluster.faults.add({ api, count: Number.POSITIVE_INFINITY }, { type: 'error', errorCode })
      const said = [await ask(), await ask(), await ask()]
      const expected = `500 { "error": "kafka server: The client is not authorized to access this ${names}." }`
      expect(said).to.deep.equal([expected, expected, expected])
    })
  }
})
