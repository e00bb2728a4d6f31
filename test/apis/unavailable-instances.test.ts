import { expect } from 'chai'
import fastify from 'fastify'
import { confluent } from '../../src/apis/confluent/api.js'
import { strimzi } from '../../src/apis/strimzi/api.js'
import type { ErrorCode } from '../../src/core/errors.js'
import type { HttpApi } from '../../src/http/api/api.js'
import { kafkaFailure, ownFailure } from '../../src/router/requests/failures.js'
import type { InstanceName, InstanceResult } from '../../src/verbs/verbs.js'
import { contextFor } from '../support/api-context.js'
import { FakeVerbs } from '../support/fake-verbs.js'

const PARTITIONS = JSON.stringify({ partitions: [{ topic: 'orders', partition: 0 }] })

describe('a request for a consumer instance', () => {
  for (const api of [confluent, strimzi] as unknown as readonly HttpApi[]) {
    const asked: (readonly [verb: string, api: string | undefined])[] = []
    /** The status of a request that assigns partitions. */
    const statusFor = async (result: InstanceResult<never>): Promise<number> => {
      const verbs = new FakeVerbs()
      const instances = { ...verbs.instances, assign: async () => result }
      verbs.instances = new Proxy(instances, {
        get: (verbs, verb: 'assign') => (instance: InstanceName) => {
          asked.push([verb, instance.api])
          return verbs[verb]()
        }
      })
      const addRoutes = await api.plugin(contextFor(verbs, api.settings.parse({})))
      const app = fastify()
      await app.register(async scope => addRoutes(scope), { prefix: api.prefix })
      const url = `${api.prefix}/consumers/g/instances/a/assignments`
      const headers = { 'content-type': 'application/vnd.kafka.v2+json' }
      const answer = await app.inject({ method: 'POST', url, headers, payload: PARTITIONS })
      await app.close()
      return answer.statusCode
    }
    it(`is one question of ${api.name} to the instances, which may be those of another gateway`, async () => {
      asked.length = 0
      await statusFor({ type: 'unknownInstance' })
      expect(asked).to.deep.equal([['assign', api.name]])
    })

    const codes: readonly ErrorCode[] = ['clusterChanged', 'overloaded', 'shuttingDown', 'timedOut']

    it(`is answered 503 by ${api.name} while gateways or Kafka cannot be asked, and 500 when they fail`, async () => {
      for (const code of codes) expect(await statusFor(ownFailure(code, 'not now', true)), code).to.equal(503)
      expect(await statusFor({ type: 'timedOut' })).to.equal(503)
      expect(await statusFor(ownFailure('protocol', 'a bug', false))).to.equal(500)
    })

    it(`is answered 409 by ${api.name} where the group is a share group`, async () => {
      expect(await statusFor(kafkaFailure(23))).to.equal(409)
    })
  }
})
