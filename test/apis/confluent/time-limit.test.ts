import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import type { CommittedOffset, GroupDescription } from '../../../src/verbs/verbs.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { serve } from './stage.js'

const group: GroupDescription = {
  groupId: 'g',
  type: 'classic',
  state: 'Empty',
  assignor: '',
  isSimple: true,
  coordinatorId: 1,
  isMixed: false,
  members: []
}

/** A gateway each of whose calls takes a step of a clock that the test sets. */
class SlowVerbs extends FakeVerbs {
  readonly #stepMs: number
  now = 0
  /** Calls with the time limit of each, in milliseconds. */
  readonly asked: string[] = []

  constructor(stepMs: number) {
    super()
    this.#stepMs = stepMs
    this.partitions.set('t', 1)
    this.admin = {
      ...this.admin,
      clusterId: async timeoutMs => {
        this.#step('clusterId', timeoutMs)
        return 'c1'
      },
      describeConfigs: async (resources, timeoutMs) => {
        this.#step('describeConfigs', timeoutMs)
        const source = 'DEFAULT_CONFIG' as const
        const entry = { name: 'retention.ms', value: '1', isDefault: true, isReadOnly: false, isSensitive: false }
        return new Map(resources.map(one => ['name' in one ? one.name : '', [{ ...entry, source, synonyms: [] }]]))
      },
      alterConfigs: async (_, __, { timeoutMs }) => this.#step('alterConfigs', timeoutMs),
      logEnds: async (partitions, timeoutMs) => {
        this.#step('logEnds', timeoutMs)
        return partitions.map(() => ({ start: 0, end: 9 }))
      }
    }
  }

  override async topics(names: readonly string[] | 'all', timeoutMs: number): ReturnType<FakeVerbs['topics']> {
    this.#step('topics', timeoutMs)
    return super.topics(names, timeoutMs)
  }

  override async describe(_?: unknown, timeoutMs = 0): Promise<ReadonlyMap<string, GroupDescription>> {
    this.#step('describe', timeoutMs)
    return new Map([['g', group]])
  }

  override async committed(_?: string, timeoutMs = 0): Promise<readonly CommittedOffset[]> {
    this.#step('committed', timeoutMs)
    return [{ topic: 't', partition: 0, offset: 4, metadata: '' }]
  }

  #step(name: string, timeoutMs: number): void {
    this.asked.push(`${name} ${timeoutMs}`)
    this.now += this.#stepMs
  }
}

describe('confluent: the time limit of a request that looks something up', () => {
  let app: FastifyInstance
  let verbs: SlowVerbs
  afterEach(() => app.close())

  async function start(stepMs: number): Promise<void> {
    verbs = new SlowVerbs(stepMs)
    app = await serve(verbs, { administration: 'everywhere' }, { clock: () => verbs.now })
  }

  it('is one limit for all steps together', async () => {
    await start(3_000)
    const { statusCode } = await app.inject('/v3/clusters/c1/consumer-groups/g/lags')
    expect(statusCode).to.equal(200)
    expect(verbs.asked).to.deep.equal(['clusterId 10000', 'describe 7000', 'committed 4000', 'logEnds 1000'])
  })

  it('is one limit for all steps of a request of version 2', async () => {
    const asked = {
      '/topics/t': ['topics 10000', 'describeConfigs 4000'],
      '/topics/t/partitions/0/offsets': ['topics 10000', 'logEnds 4000']
    }
    for (const [path, steps] of Object.entries(asked)) {
      await start(6_000)
      const { statusCode } = await app.inject(path)
      expect([path, statusCode, ...verbs.asked]).to.deep.equal([path, 200, ...steps])
      await app.close()
    }
    await start(10_000)
    const { statusCode, body } = await app.inject('/topics/t')
    expect([statusCode, JSON.parse(body).error_code, verbs.asked]).to.deep.equal([500, 50003, ['topics 10000']])
  })

  it('ends a request before a step for which no time is left', async () => {
    await start(5_000)
    const { statusCode, body } = await app.inject('/v3/clusters/c1/consumer-groups/g/lags')
    expect([statusCode, JSON.parse(body).error_code]).to.deep.equal([500, 50003])
    expect(verbs.asked).to.deep.equal(['clusterId 10000', 'describe 5000'])
  })

  it('counts for all topics of one change, and names the topics that were not reached', async () => {
    await start(2_000)
    const topics = Array.from({ length: 25 }, (_, at) => `topic-${at}`)
    const configs = [{ name: 'retention.ms', value: '5' }]
    const answer = await app.inject({
      method: 'POST',
      url: '/v3/clusters/c1/topics/-/configs:alter',
      headers: { 'content-type': 'application/json' },
      payload: { data: topics.map(topic_name => ({ topic_name, configs })) }
    })
    expect(answer.statusCode).to.equal(207)
    const { failures } = answer.json()
    expect(failures).to.have.length(topics.length)
    expect(new Set(failures.map(({ error_code }: { error_code: number }) => error_code))).to.deep.equal(
      new Set([50003])
    )
    expect(verbs.asked).to.have.length(5)
    expect(failures.at(-1)).to.include({ topic_name: 'topic-24' })
  })
})
