import { createHash } from 'node:crypto'
import { Metadata } from '@grpc/grpc-js'
import { expect } from 'chai'
import { type App, startApp } from '../../../src/server/app/app.js'
import { GrpcStage } from '../../apis/kafka-pixy/grpc-stage.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'
import { call, configOf, TestFolder } from '../../support/access.js'
import { logWorker } from '../../support/built.js'
import type { PeerAddress } from '../../support/peer-address.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'

const V2 = 'application/vnd.kafka.v2+json'
const JSON_RECORDS = 'application/vnd.kafka.json.v2+json'

/** `owner`: everything of the group and the topic. The others lack a permission for one of them, or both. */
const PRINCIPALS = ['owner', 'groupOnly', 'topicOnly', 'stranger', 'anonymous'] as const
type Principal = (typeof PRINCIPALS)[number]
type Api = 'confluent' | 'strimzi'

interface Asked {
  readonly method: string
  readonly path: string
  readonly body?: object
  readonly accept?: string
}

describe('gateways that know each other, and what their clients may do', function () {
  this.timeout(120_000)
  const stage = onCluster()
  let folder: TestFolder
  let addresses: PeerAddress[]
  let apps: App[]
  let grpc: GrpcStage[]
  let topic: string
  let group: string
  before(async () => {
    folder = new TestFolder()
    stage.keep(folder, one => one.remove())
    addresses = await stage.peers()
    topic = await stage.topic()
    group = freshTopic('billing')
    apps = []
    grpc = []
    for (const [at, address] of addresses.entries()) {
      const lines: LogLine[] = []
      const log = recordingLogger(lines)
      const started = await startApp(configOf(folder, settings(at)), { log, version: '0.0.0-test', logWorker })
      const app = stage.keep(started, ({ stop }) => stop())
      apps.push(app)
      grpc.push(stage.keep(GrpcStage.of(app, lines), ({ client }) => client.close()))
      address.target = app.peersAddress
    }
    const castellan = await stage.library()
    const records = [1, 2, 3].map(value => ({ topic, partition: 0, key: null, value: String(value) }))
    await castellan.verbs.produce(records, { partitioner: 'murmur2', deadlineMs: 30_000 }).outcomes()
  })

  function settings(at: number): object {
    const rule = (principal: Principal, topics: string, groups: string) => ({
      principals: [principal],
      operations: ['produce', 'consume', 'offsets'],
      topics: [topics],
      groups: [groups]
    })
    return {
      clusters: { default: { brokers: stage.bootstrap.split(',') } },
      http: { port: 0, allowAnonymous: true },
      management: { port: 0 },
      apis: { 'kafka-pixy': { grpcPort: 0 } },
      wal: { directory: `${folder.path}/wal-${at}` },
      advanced: { http: { maxEventLoopDelayMs: 0 } },
      consumer: { start: 'earliest', longPollMs: 500 },
      peers: {
        addresses: addresses.map(({ text }) => text),
        listen: '127.0.0.1:0',
        token: 'a secret of more than thirty-two bytes'
      },
      auth: {
        tokens: PRINCIPALS.filter(principal => principal !== 'anonymous').map(principal => ({
          principal,
          sha256: createHash('sha256').update(tokenOf(principal)).digest('hex')
        }))
      },
      access: {
        rules: [
          rule('owner', topic, '*'),
          rule('groupOnly', 'others', '*'),
          rule('topicOnly', topic, 'others'),
          rule('stranger', 'others', 'others')
        ]
      }
    }
  }
  const tokenOf = (principal: Principal): string => `castellan_${principal.padEnd(43, '0')}`

  async function ask(at: number, principal: Principal, asked: Asked): Promise<{ status: number; body: string }> {
    const { method, path, body, accept = V2 } = asked
    const text = body && JSON.stringify(body)
    const headers: Record<string, string> = { accept }
    if (principal !== 'anonymous') headers.authorization = `Bearer ${tokenOf(principal)}`
    if (text) Object.assign(headers, { 'content-type': V2, 'content-length': String(text.length) })
    return call(`${apps[at]!.urls.shared}${path}`, { method, headers, ...(text && { body: text }) })
  }
  const create = (api: Api, name: string): Asked => ({
    method: 'POST',
    path: `/${api}/consumers/${group}-${api}`,
    body: {
      name,
      format: 'json',
      'auto.offset.reset': 'earliest',
      [api === 'confluent' ? 'auto.commit.enable' : 'enable.auto.commit']: false
    }
  })
  const ofInstance = (api: Api, name: string): Readonly<Record<string, Asked>> => {
    const path = `/${api}/consumers/${group}-${api}/instances/${name}`
    const partitions = [{ topic, partition: 0 }]
    const offsets = [{ topic, partition: 0, offset: 0 }]
    return {
      assign: { method: 'POST', path: `${path}/assignments`, body: { partitions } },
      subscribe: { method: 'POST', path: `${path}/subscription`, body: { topics: [topic] } },
      subscription: { method: 'GET', path: `${path}/subscription` },
      seek: { method: 'POST', path: `${path}/positions`, body: { offsets } },
      beginning: { method: 'POST', path: `${path}/positions/beginning`, body: { partitions } },
      end: { method: 'POST', path: `${path}/positions/end`, body: { partitions } },
      read: { method: 'GET', path: `${path}/records?timeout=1000`, accept: JSON_RECORDS },
      commit: { method: 'POST', path: `${path}/offsets`, body: { offsets } },
      commitAccepted: { method: 'POST', path: `${path}/offsets` },
      ...(api === 'confluent' && {
        assignments: { method: 'GET', path: `${path}/assignments` },
        committed: { method: 'GET', path: `${path}/offsets?topic=${topic}&partition=0` }
      }),
      unsubscribe: { method: 'DELETE', path: `${path}/subscription` },
      remove: { method: 'DELETE', path }
    }
  }

  for (const api of ['confluent', 'strimzi'] as const) {
    it(`instances of ${api}: at each gateway the same answers, and none that the client has no permission for`, async () => {
      expect((await ask(0, 'owner', create(api, 'one'))).status).to.equal(200)
      const { assign, read, seek, remove, ...others } = ofInstance(api, 'one')
      // Until the gateways have found each other.
      while ((await ask(1, 'owner', others.subscription!)).status !== 200)
        await new Promise(resolve => setTimeout(resolve, 50))
      expect((await ask(1, 'owner', assign!)).status).to.equal(204)
      const all = { create: create(api, 'two'), assign, read, seek, remove, ...others } as Record<string, Asked>
      for (const principal of PRINCIPALS.slice(1)) {
        for (const [name, asked] of Object.entries(all)) {
          // Without the topic, a member of the group may create instances of its own.
          if (principal === 'groupOnly' && name === 'create') continue
          // One after the other: of two reads at once, one is refused for the other.
          const [here, there] = [await ask(0, principal, asked), await ask(1, principal, asked)]
          const what = `${name} by ${principal}`
          expect(here.status, what).to.equal(403)
          expect([there.status, there.body], what).to.deep.equal([here.status, here.body])
        }
      }
      for (const at of [0, 1]) {
        expect((await ask(at, 'owner', seek!)).status).to.equal(204)
        const { status, body } = await ask(at, 'owner', read!)
        const values = (JSON.parse(body) as { value: number }[]).map(({ value }) => value)
        expect([status, values]).to.deep.equal([200, [1, 2, 3]])
      }
      expect((await ask(1, 'owner', remove!)).status).to.equal(204)
    })
  }

  it("acknowledgements: at each gateway, of the group's clients only", async () => {
    const pixy = `/pixy/topics/${topic}`
    const consume = { method: 'GET', path: `${pixy}/messages?group=${group}-pixy` }
    let given = await ask(0, 'owner', consume)
    while (given.status !== 200) given = await ask(0, 'owner', consume)
    const { offset } = JSON.parse(given.body) as { offset: number }
    const ack = { method: 'POST', path: `${pixy}/acks?group=${group}-pixy&partition=0&offset=${offset}` }
    for (const principal of PRINCIPALS.slice(1)) {
      for (const at of [0, 1]) {
        expect((await ask(at, principal, ack)).status, `ack by ${principal}`).to.equal(403)
        expect((await ask(at, principal, consume)).status, `consume by ${principal}`).to.equal(403)
      }
    }
    expect((await ask(1, 'owner', ack)).status).to.equal(200)
  })

  it("acknowledgements over gRPC: at each gateway, of the group's clients only", async () => {
    const asked = { topic, group: `${group}-grpc` }
    const metadataOf = (principal: Principal): { metadata: Metadata } => {
      const metadata = new Metadata()
      if (principal !== 'anonymous') metadata.set('authorization', `Bearer ${tokenOf(principal)}`)
      return { metadata }
    }
    const owner = metadataOf('owner')
    const [here, there] = grpc as [GrpcStage, GrpcStage]
    const consume = (): Promise<{ offset: number } | undefined> =>
      here.ask('ConsumeNAck', { ...asked, no_ack: true }, owner).catch(() => undefined)
    let given = await consume()
    while (given === undefined) given = await consume()
    const ack = { ...asked, partition: 0, offset: Number(given.offset) }
    for (const principal of PRINCIPALS.slice(1)) {
      const client = metadataOf(principal)
      for (const at of [here, there]) {
        const refusals = [
          await at.refusal(at.ask('Ack', ack, client)),
          await at.refusal(at.ask('ConsumeNAck', { ...asked, no_ack: true }, client)),
          await at.refusal(at.ask('ConsumeNAck', { ...asked, ack_partition: 0, ack_offset: ack.offset }, client))
        ]
        for (const refusal of refusals)
          expect(refusal, principal).to.match(principal === 'anonymous' ? /^(7|16): / : /^7: /)
      }
    }
    const committed = async (): Promise<number> => {
      const { offsets: all } = await here.ask('GetOffsets', asked, owner)
      return Number(all[0]!.offset)
    }
    expect(await committed()).to.be.at.most(ack.offset)
    await there.ask('Ack', ack, owner)
    while ((await committed()) !== ack.offset + 1) await new Promise(resolve => setTimeout(resolve, 50))
  })
})
