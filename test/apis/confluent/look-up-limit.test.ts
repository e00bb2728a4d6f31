import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import type { ClusterDescription } from '../../../src/verbs/admin.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { accessByHeader, serve } from './stage.js'

const CLUSTER: ClusterDescription = { clusterId: 'c1', controllerId: 1, brokers: [] }
/** Of all clients together; one client has a place while it holds at most as many as are free. */
const PLACES = 200
const OF_ONE_CLIENT = 101

describe('confluent: look-ups that wait for Kafka', () => {
  let app: FastifyInstance
  let answer: (() => void)[]
  beforeEach(async () => {
    answer = []
    const verbs = new FakeVerbs()
    verbs.admin = {
      ...verbs.admin,
      describeCluster: () => new Promise(resolve => answer.push(() => resolve(CLUSTER)))
    }
    app = await serve(verbs, {}, { access: accessByHeader })
  })
  afterEach(() => app.close())

  /** Asks so often at the same time. @returns the answers, once those that wait are answered */
  function ask(client: string, times: number) {
    const asked = Array.from({ length: times }, () =>
      app.inject({ url: '/v3/clusters', headers: { 'x-client': client } })
    )
    return Promise.all(asked)
  }
  const waiting = async (count: number): Promise<void> => {
    while (answer.length < count) await new Promise(resolve => setImmediate(resolve))
  }
  const answerAll = (): void => {
    for (const one of answer.splice(0)) one()
  }
  const statusesOf = (answers: readonly { readonly statusCode: number }[]): Record<number, number> => {
    const counts: Record<number, number> = {}
    for (const { statusCode } of answers) counts[statusCode] = (counts[statusCode] ?? 0) + 1
    return counts
  }

  it('leave places for others, however many one client has', async () => {
    const greedy = ask('greedy', PLACES)
    await waiting(OF_ONE_CLIENT)
    const other = ask('other', 1)
    await waiting(OF_ONE_CLIENT + 1)
    answerAll()
    const answers = await greedy
    expect(statusesOf(answers)).to.deep.equal({ 200: OF_ONE_CLIENT, 429: PLACES - OF_ONE_CLIENT })
    const refused = answers.find(({ statusCode }) => statusCode === 429)!
    expect([refused.headers['retry-after'], refused.json().error_code]).to.deep.equal(['1', 429])
    expect(statusesOf(await other)).to.deep.equal({ 200: 1 })
  })

  it('are refused with 503 where all places are taken, and are free again after the answers', async () => {
    const all = Promise.all(Array.from({ length: PLACES }, (_, at) => ask(`client-${at}`, 1)))
    await waiting(PLACES)
    const [refused] = await ask('late', 1)
    expect([refused!.statusCode, refused!.json().error_code]).to.deep.equal([503, 503])
    answerAll()
    expect(statusesOf((await all).flat())).to.deep.equal({ 200: PLACES })
    const again = ask('late', 1)
    await waiting(1)
    answerAll()
    expect(statusesOf(await again)).to.deep.equal({ 200: 1 })
  })
})
