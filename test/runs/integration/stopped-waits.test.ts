import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { onCluster } from '../../support/stage.js'
import { pauseAll } from '../../support/target-cluster.js'
import { metricOf } from '../../support/test-app.js'
import { inWorld } from './in-world.js'

const form = 'application/x-www-form-urlencoded'
const binary = '{"records":[{"value":"YQ=="}]}'
/** Requests that are answered when Kafka has their record: path, type, body, and the answer when the process stops before. */
const requests: readonly [path: string, type: string, body: (topic: string) => string, answer: RegExp][] = [
  [
    '/kprf/push',
    'application/json',
    t => `{"records":[{"topic":"${t}","data":"a"}],"wait_for_send":true}`,
    /^500 unknown .*Purged in queue/
  ],
  ['/pixy/topics/TOPIC/messages?sync', 'text/plain', () => 'a', /^503 no .*shutting down/s],
  ['/arion/sync/TOPIC', 'text/plain', () => 'a', /^503 no .*unable to enqueue/],
  ['/kafboy/sync/TOPIC', form, () => 'a=b', /^503 no .*shutting down/],
  ['/strimzi/topics/TOPIC', 'application/vnd.kafka.binary.v2+json', () => binary, /^200 no .*shutting down/],
  ['/confluent/topics/TOPIC', 'application/vnd.kafka.binary.v2+json', () => binary, /^200 no .*shutting down/],
  ['/events/TOPIC', 'text/plain', () => 'a', /^503 no .*shutting down/]
]

describe('requests that wait for Kafka when the process is told to stop', () => {
  inWorld()
  const stage = onCluster()
  let app: App
  let topic: string

  before(async () => {
    topic = await stage.topic('stopped')
  })

  const send = async ([path, type, body]: (typeof requests)[number]): Promise<string> => {
    const headers = { 'content-type': type, 'ce-id': '1', 'ce-source': 'a', 'ce-type': 'b', 'ce-specversion': '1.0' }
    const init = { method: 'POST', headers, body: body(topic) }
    const answer = await fetch(app.urls.shared + path.replace('TOPIC', topic), init)
    const persisted = answer.headers.get('x-castellan-persisted')
    return `${answer.status} ${persisted} ${answer.headers.get('connection')} ${await answer.text()}`
  }

  const inFlight = async (): Promise<number> =>
    (await metricOf(app.urls.management, 'castellan_http_requests_in_flight')) - 1

  for (const drainMs of ['0', '1000']) {
    it(`get the answer of their API and are no lost records (${drainMs} ms for balancers)`, async () => {
      app = await stage.app({
        'shutdown.graceMs': '8000',
        'shutdown.drainMs': drainMs,
        'apis.arion.durability': 'memory',
        'apis.kafboy.syncTimeoutMs': '60000'
      })
      for (const request of requests) expect(await send(request), request[0]).to.match(/^20\d \w+ keep-alive/)
      await pauseAll(stage.cluster)
      const answers = Promise.all(requests.map(request => send(request).catch(error => String(error.cause ?? error))))
      while ((await inFlight()) < requests.length);
      expect(await app.stop()).to.deep.equal({ lostRecords: 0 })
      const got = await answers
      for (const [at, [path, , , answer]] of requests.entries()) {
        expect(got[at], path).to.match(answer)
        expect(got[at], path).to.match(/^\d+ \w+ close /)
      }
    })
  }
})
