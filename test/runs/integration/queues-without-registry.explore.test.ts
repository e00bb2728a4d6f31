import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import { serveRegistry } from '../../schemas/registry-server.js'
import { ScriptedRegistry } from '../../schemas/scripted-registry.js'
import { ApiStage } from '../../support/api-stage.js'

const AWAY_MS = 60_000

interface Message {
  readonly token: string
  readonly value: string
  readonly deliveryCount: number
  readonly lockMs: number
  readonly undecodable?: string
}

class QueuesStage extends ApiStage {
  static async open(registry: string): Promise<QueuesStage> {
    return new QueuesStage(await ApiStage.opened('queues', { 'schemas.registry.urls': registry }), 'queues')
  }
}

/** A text as the registry's clients write it, by the schema `"string"` with this id. */
const framed = (id: number, text: string): Buffer =>
  Buffer.concat([Buffer.of(0, 0, 0, 0, id, 2 * text.length), Buffer.from(text)])

describe('a queue with messages by schema, while the registry is away', function () {
  this.timeout(180_000)
  const registry = new ScriptedRegistry()
  let served: Awaited<ReturnType<typeof serveRegistry>>
  let stage: QueuesStage
  let topic: string
  let path: string
  let ids = 0

  before(async () => {
    served = await serveRegistry(registry)
    stage = await QueuesStage.open(served.url)
  })
  beforeEach(async () => {
    topic = await stage.topic(1)
    path = `/${topic}/${stage.group()}`
  })
  afterEach(() => (registry.script = () => undefined))
  after(async () => {
    await stage?.close()
    await served?.close()
  })

  /** Each has a schema of its own, which the gateway does not know. */
  const write = async (...texts: string[]): Promise<void> => {
    for (const text of texts) {
      const id = registry.add(`s${++ids}`, `{"type":"string","n":${ids}}`)
      const sent = { method: 'POST', body: new Uint8Array(framed(id, text)) }
      expect((await fetch(`${stage.app.urls.shared}/arion/sync/${topic}`, sent)).ok).to.equal(true)
    }
  }
  const post = (rest: string, body: object, signal?: AbortSignal): Promise<Response> =>
    fetch(`${stage.url}${path}/${rest}`, { method: 'POST', body: JSON.stringify(body), ...(signal && { signal }) })
  const acquire = async (more: object = {}): Promise<readonly Message[]> => {
    const answer = await post('acquire', { encoding: 'schema', start: 'earliest', ...more })
    expect(answer.status).to.equal(200)
    return ((await answer.json()) as { messages: Message[] }).messages
  }
  /** The text of a message that was not decoded. */
  const raw = ({ value }: Message): string => Buffer.from(value, 'base64').toString('latin1', 6)
  const accept = async (messages: readonly Message[]): Promise<void> => {
    const answer = await post('settle', { accept: messages.map(({ token }) => token) })
    expect([answer.status, await answer.text()][0]).to.equal(200)
  }

  it('gives the message of a client that left meanwhile to the next one, as its first delivery', async () => {
    registry.script = () => new Promise<never>(() => undefined)
    await write('a')
    for (let client = 0; client < 3; client++) {
      const gone = post('acquire', { encoding: 'schema', start: 'earliest' }, AbortSignal.timeout(1_000))
      expect(
        await gone.then(
          ({ status }) => status,
          ({ name }: Error) => name
        )
      ).to.equal('TimeoutError')
    }
    const [message] = await acquire()
    expect([raw(message!), message!.deliveryCount]).to.deep.equal(['a', 1])
    await accept([message!])
  })

  for (const [what, script] of [
    ['does not answer', () => new Promise<never>(() => undefined)],
    ['answers 503', () => ({ status: 503, body: {} })]
  ] as const)
    it(`gives each message once, in base64, with most of its lock, where it ${what} for a minute`, async () => {
      registry.script = script
      const goneAt = performance.now()
      const texts: string[] = []
      for (let at = 0; performance.now() < goneAt + AWAY_MS; at++) {
        const text = `m${at}`
        await write(text, `${text}b`)
        const since = performance.now()
        const found: Message[] = []
        while (found.length < 2) found.push(...(await acquire({ count: 2 - found.length })))
        expect(performance.now() - since, 'milliseconds').to.be.lessThan(12_000)
        expect(found.map(({ deliveryCount }) => deliveryCount)).to.deep.equal([1, 1])
        for (const { lockMs } of found) expect(lockMs).to.be.greaterThan(20_000)
        for (const { undecodable } of found) expect(undecodable).to.match(/registry|too long/)
        texts.push(...found.map(raw))
        await accept(found)
        await pass(2_000)
      }
      expect(texts).to.deep.equal(Array.from({ length: texts.length }, (_, at) => `m${at >> 1}${at % 2 ? 'b' : ''}`))
      await write('there again')
      registry.script = () => undefined
      await pass(6_000)
      const [last] = await acquire()
      expect([last!.value, last!.deliveryCount, last!.undecodable]).to.deep.equal(['there again', 1, undefined])
      await accept([last!])
    })
})
