import { expect } from 'chai'
import { openCastellan } from '../../src/client/open-castellan.js'
import { CastellanError } from '../../src/core/errors.js'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import type { App } from '../../src/server/app/app.js'
import type { VerbPath } from '../../src/verbs/facts.js'
import { endpoints, pathOf, sentTo } from './endpoints.js'
import { GrpcStage } from './kafka-pixy/grpc-stage.js'

/** What changes a group, or makes a client its member. */
const CHANGES: ReadonlySet<string> = new Set<VerbPath>([
  'groups.consume',
  'groups.ack',
  'groups.commit',
  'instances.create',
  'queues.acquire',
  'shareGroups.reset',
  'shareGroups.forget'
])
const changing = endpoints.filter(({ operation: { verb } }) => CHANGES.has(verb))
const ON = ['cloudevents', 'queues', 'strimzi', 'confluent', 'kafka-pixy']
const settings = Object.fromEntries(ON.map(name => [`apis.${name}.enabled`, 'true']))

/** The group of the path is called `t`, that of the query `g`. */
const ofWebhook = (path: string, operationPath: string): string => {
  const parts = operationPath.split('/')
  const at = parts.findIndex(part => /^\{(group|group_?id)\}/i.test(part))
  if (at < 0) return path.replace('group=g', 'group=castellan-webhook-orders')
  const sent = path.split('/')
  const shift = sent.length - parts.length
  sent[at + shift] = sent[at + shift]!.replace(/^t/, 'castellan-webhook-orders')
  return sent.join('/')
}

describe('the group of a webhook', function () {
  this.timeout(30_000)
  let cluster: EmbeddedCluster
  let grpc: GrpcStage
  let app: App
  before(async () => {
    cluster = await startEmbeddedCluster()
    cluster.createTopic('t', { partitions: 1 })
    grpc = await GrpcStage.start(cluster.bootstrap, settings)
    app = grpc.app
  })
  after(async () => {
    await grpc.stop()
    await cluster.close()
  })

  it('is named by every kind of request that changes a group', () => {
    expect([...new Set(changing.map(({ operation: { verb } }) => verb))].sort()).to.deep.equal([...CHANGES].sort())
  })

  for (const endpoint of changing)
    it(`is refused by ${endpoint.name} with 409`, async () => {
      const { query = '', headers, body } = sentTo(endpoint)
      const url = app.urls.shared + ofWebhook(pathOf(endpoint) + query, endpoint.operation.path)
      const answer = await fetch(url, {
        method: endpoint.operation.method.toUpperCase(),
        ...(headers && { headers }),
        ...(body !== undefined && { body })
      })
      const text = await answer.text()
      expect([answer.status, text.includes('castellan-webhook-orders')], `${url} ${text}`).to.deep.equal([409, true])
    })

  it('is refused by gRPC as a failed precondition', async () => {
    const asked = { topic: 't', group: 'castellan-webhook-orders' }
    for (const [name, request] of [
      ['ConsumeNAck', { ...asked, auto_ack: true }],
      ['Ack', asked],
      ['SetOffsets', { ...asked, offsets: [{ partition: 0, offset: 0, metadata: '' }] }]
    ] as const)
      expect(await grpc.refusal(grpc.ask(name, request)), name).to.match(/^9: .*castellan-webhook-orders/)
  })

  it('is refused by each function of the library that changes a group', async () => {
    const castellan = await openCastellan({ brokers: cluster.bootstrap })
    const group = 'castellan-webhook-orders'
    const place = { topic: 't', partition: 0, offset: 0 }
    const tries: Readonly<Record<string, () => Promise<unknown>>> = {
      consume: async () => {
        for await (const _ of castellan.consume({ group, topics: 't' })) break
      },
      'groups.consume': async () => {
        const result = await castellan.groups.consume(group, 't', 5_000)
        if (result.type === 'failed') throw new CastellanError(result.code, result.message, result.retriable)
      },
      transaction: () =>
        castellan.transaction('w', async tx => {
          await tx.commitOffsets(group, [place])
        }),
      'admin.deleteGroups': () => castellan.admin.deleteGroups(group),
      'admin.setOffsets': () => castellan.admin.setOffsets(group, [place]),
      queue: () => castellan.queue({ group, topic: 't' }).acquire()
    }
    for (const [name, attempt] of Object.entries(tries)) {
      const error = await attempt().then(
        () => undefined,
        (thrown: unknown) => thrown
      )
      expect(String(error), name).to.contain('group castellan-webhook-orders is that of a webhook')
    }
    await castellan.close()
  })
})
