import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import fastify, { type FastifyInstance } from 'fastify'
import { type CastellanError, ForbiddenError, OverloadedError } from '../../src/core/errors.js'
import type { Access, AccessTarget, Caller, Operation } from '../../src/http/access/access.js'
import { type Effect, VERB_FACTS, type VerbFacts, type VerbPath } from '../../src/verbs/facts.js'
import type { AdminVerbs, InstanceVerbs, QueueVerbs, ShareGroupsOnly } from '../../src/verbs/verbs.js'
import { contextFor } from '../support/api-context.js'
import { FakeVerbs } from '../support/fake-verbs.js'
import { type Endpoint, endpoints, pathOf, sentTo, withoutCluster } from './endpoints.js'

/** `consume topic+group` */
const textOf = (right: Operation, target: AccessTarget = {}): string => {
  const names = (['topic', 'group', 'subject'] as const).filter(name => target[name] !== undefined)
  return `${right} ${names.join('+') || 'nothing'}`
}
const facts: Readonly<Record<VerbPath, VerbFacts>> = VERB_FACTS
const effectsOf = (verb: VerbPath): readonly (readonly [text: string, how: Effect[2]])[] =>
  facts[verb].effects.map(([right, target, how]) => [
    `${right} ${target}`.replace('topics of group', 'topic+group'),
    how
  ])

/** A client that may do everything but what it is denied. It keeps what it was asked for. */
class AskedCaller implements Caller {
  readonly principal = 'shop'
  readonly isRuled = true
  readonly asked = new Set<string>()
  readonly #denied: readonly string[]

  constructor(...denied: readonly string[]) {
    this.#denied = denied
  }

  allows(right: Operation, target?: AccessTarget): boolean {
    const asked = textOf(right, target)
    this.asked.add(asked)
    return !this.#denied.includes(asked)
  }

  refusalOf(right: Operation, target?: AccessTarget): CastellanError | undefined {
    return this.allows(right, target) ? undefined : new ForbiddenError('shop may not do this')
  }

  refusalOfUnruled(): undefined {}

  refusalOfTopics(right: Operation, records: readonly { readonly topic: string }[]): CastellanError | undefined {
    return records.map(({ topic }) => this.refusalOf(right, { topic })).find(refusal => refusal !== undefined)
  }

  watch(): void {}

  noteCreated(): void {}

  charge(): undefined {}

  spend(): void {}
}

const done = (value?: unknown) => async () => ({ type: 'done', value })
const read = {
  records: [{ topic: 't', partition: 0, offset: 0, timestampMs: 0, key: null, value: Buffer.from('a'), headers: [] }],
  format: 'binary',
  settle: () => undefined
}
const members = [{ memberId: 't', instanceId: null, clientId: 'c', clientHost: 'h', partitions: new Map([['t', [0]]]) }]
const described = { groupId: 't', type: 'classic', state: 'Stable', assignor: 'range', isSimple: false, members }

/** A gateway that has what the requests are about, and notes the paths of the verbs that it is asked for. */
function verbsOf(called: Set<string>): FakeVerbs {
  const verbs = new FakeVerbs()
  verbs.partitions.set('t', 1)
  verbs.readers.set('g', members)
  Object.assign(verbs, {
    describe: async (_groups: unknown, _timeoutMs: number, includes?: (group: string) => boolean) => {
      includes?.('t')
      return new Map([['t', { ...described, coordinatorId: 0, isMixed: false }]])
    },
    committed: async () => [{ topic: 't', partition: 0, offset: 0, metadata: '' }],
    follow: async () => {
      throw new OverloadedError('nobody follows this topic here')
    }
  })
  const noting = <Part extends object>(of: string, part: Part): Part =>
    new Proxy(part, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name)
        if (typeof value === 'function') called.add(`${of}.${String(name)}`)
        return value
      }
    })
  verbs.instances = noting('instances', {
    ...verbs.instances,
    create: done(true),
    remove: done(),
    subscribe: done(),
    subscription: done(['t']),
    unsubscribe: done(),
    assign: done(),
    assignment: done([{ topic: 't', partition: 0 }]),
    describe: done({ subscription: ['t'], assignment: [] }),
    seek: done(),
    read: done(read),
    commit: done(),
    committed: done([])
  } as unknown as InstanceVerbs)
  const broker = { nodeId: 0, host: 'h', port: 1, rack: null }
  verbs.admin = noting('admin', {
    clusterId: async () => 't',
    describeCluster: async () => ({ clusterId: 't', controllerId: 0, brokers: [broker] }),
    createTopic: async () => undefined,
    deleteTopic: async () => undefined,
    createPartitions: async () => undefined,
    describeConfigs: async () => new Map([['t', []]]),
    alterConfigs: async () => undefined,
    topicOperations: async () => new Map(),
    describeAcls: async () => [],
    logEnds: async (all: readonly unknown[]) => all.map(() => ({ start: 0, end: 0 }))
  } as unknown as AdminVerbs)
  verbs.queues = noting('queues', {
    ...verbs.queues,
    describe: async () => ({ state: 'Empty', members: [], partitions: [], settings: undefined, topics: ['t', 'u'] }),
    configure: async () => ({
      start: 'latest',
      lockMs: 1,
      deliveryLimit: 5,
      deadLetters: null,
      isolation: 'readUncommitted'
    })
  } as unknown as QueueVerbs)
  const group = {
    groupId: 't',
    state: 'Empty',
    coordinatorId: 0,
    members,
    topics: ['t'],
    partitions: new Map([['t', [0]]])
  }
  verbs.shareGroups = noting('shareGroups', {
    list: async ({ includes = () => true }: ShareGroupsOnly) => ({
      groups: [group].filter(() => includes('t')),
      next: undefined
    }),
    describe: async () => group,
    reset: async () => [],
    forget: async () => undefined,
    delete: async () => undefined
  })
  return verbs
}

/** Rights that a request of an endpoint does not need, although its verb does for others. */
function notNeeded({ name }: Endpoint): readonly string[] {
  const own = withoutCluster(name)
  if (/Topic\w*Configs?$/.test(own)) return ['cluster nothing']
  if (/(?:Broker|Cluster)\w*Configs?$/.test(own)) return ['admin topic', 'alter topic']
  if (own.startsWith('kafka-pixy readConsumers')) return ['admin topic']
  if (/^confluent (?:listGroups|getGroup|listConsumers|getConsumer)$/.test(own)) return ['admin topic+group']
  if (/^confluent (?:listShareConsumers|getShareConsumer)$/.test(own)) return ['offsets topic+group']
  return ['register subject']
}

/** What is not refused as a whole. */
const notRefused: Readonly<Record<string, readonly string[]>> = {
  // Each topic that could not be changed is told.
  'confluent alterAllTopicConfigs': ['alter topic'],
  // A group that has its start needs no right: rights-of-a-start.socket.test.ts.
  'queues acquire': ['alter topic+group']
}

/** Verbs that a refused request must not reach, for they change something. */
const CHANGES =
  /^(?:instances\.(?:create|remove|subscribe|unsubscribe|assign|seek|commit)|queues\.(?:acquire|settle|configure)|shareGroups\.(?:reset|forget|delete)|admin\.(?:create|delete|alter)\w*)$/

describe('endpoints', () => {
  let app: FastifyInstance
  let called: Set<string>
  afterEach(() => app.close())

  async function answerTo(endpoint: Endpoint, caller: Caller) {
    const { api, operation } = endpoint
    called = new Set()
    const verbs = verbsOf(called)
    const access: Access = { callerOf: () => caller }
    const routes = await api.plugin(contextFor(verbs, api.settings.parse({}), { access }) as never)
    app = fastify({ logger: false, forceCloseConnections: true, genReqId: () => 'made-up' })
    await app.register(async scope => routes(scope), { prefix: api.prefix })
    await app.listen({ host: '127.0.0.1', port: 0 })
    const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
    const { query = '', headers, body } = sentTo(endpoint)
    const options = { method: operation.method.toUpperCase(), ...(headers && { headers }), ...(body && { body }) }
    const answer = await fetch(url + pathOf(endpoint) + query, options)
    return { status: answer.status, text: await answer.text(), produced: verbs.records.length }
  }

  for (const endpoint of endpoints) {
    const { name, operation } = endpoint
    const { verb } = operation
    if (verb === 'none') continue
    const effects = effectsOf(verb).filter(([effect]) => !notNeeded(endpoint).includes(effect))
    const needed = effects.filter(([, how]) => how === undefined).map(([effect]) => effect)
    const filters = effects.filter(([, how]) => how === 'filters').map(([effect]) => effect)
    const sufficient = effects.filter(([, how]) => how === 'suffices').map(([effect]) => effect)

    it(`ask for the rights of all effects of their verb, and for no other: ${name}`, async () => {
      const caller = new AskedCaller()
      const { status } = await answerTo(endpoint, caller)
      expect(status).to.not.equal(403)
      const rights = new Set(effects.map(([effect]) => effect.split(' ')[0]))
      // A list of all is refused to clients that have the right for nothing.
      const asked = [...caller.asked].filter(
        one => !(one.endsWith(' nothing') && rights.has(one.split(' ')[0]) && !needed.includes(one))
      )
      expect(asked.sort()).to.deep.equal([...needed, ...filters].sort())
    })

    for (const effect of needed) {
      if (notRefused[withoutCluster(name)]?.includes(effect)) continue
      it(`refuse a client without the right to ${effect}: ${name}`, async () => {
        const caller = new AskedCaller(effect, ...sufficient)
        const { status, produced } = await answerTo(endpoint, caller)
        const isList = caller.asked.has(`${effect.split(' ')[0]} nothing`) && !effect.endsWith(' nothing')
        if (!isList) expect(status).to.equal(403)
        expect(produced).to.equal(0)
        if (CHANGES.test(verb)) expect([...called]).to.not.include(verb)
      })
    }

    for (const effect of filters) {
      it(`leave out what a client has no right to ${effect} for, and do not refuse it: ${name}`, async () => {
        const all = await answerTo(endpoint, new AskedCaller())
        await app.close()
        const { status, text } = await answerTo(endpoint, new AskedCaller(effect))
        expect(status).to.be.oneOf([200, 404])
        expect(text.length, 'it says less, or that there is none').to.not.equal(all.text.length)
      })
    }

    for (const effect of sufficient) {
      it(`serve a client that has only the right to ${effect}: ${name}`, async () => {
        const { status } = await answerTo(endpoint, new AskedCaller(...needed))
        expect(status).to.equal(200)
      })
    }
  }
})
