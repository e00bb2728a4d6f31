import { expect } from 'chai'
import { OverloadedError } from '../../src/core/errors.js'
import { webhooksOperations } from '../../src/server/webhooks/routes.js'
import { VERB_FACTS, type VerbFacts, type VerbPath } from '../../src/verbs/facts.js'
import type { Verbs } from '../../src/verbs/verbs.js'
import { type Started, startHttp, untilNothingIsHeld } from '../http/server/stage.js'
import { contextFor } from '../support/api-context.js'
import { FakeVerbs, failure } from '../support/fake-verbs.js'
import { RawSocket } from '../support/raw-socket.js'
import { type Endpoint, endpoints, pathOf, sentTo } from './endpoints.js'

const facts: Readonly<Record<VerbPath, VerbFacts>> = VERB_FACTS
/** Verbs of requests that change nothing by themselves, although their method is not GET. What they settle first is handed on. */
const CHANGE_NOTHING = ['none', 'queues.acquire']
const SAFE = ['get', 'head', 'options']
/** Ticks in which a request that may begin has begun many times over. */
const TICKS = 50

const tick = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
const orderOf = (verb: Endpoint['operation']['verb']): VerbFacts['order'] =>
  verb === 'none' ? 'atOnce' : facts[verb].order

/** A gateway whose verbs go on until {@link end}. */
class LongVerbs {
  asked = 0
  #fail: (() => void)[] = []
  readonly #fake = new FakeVerbs({ outcome: 'by hand' })

  get verbs(): Verbs {
    const parts = (['groups', 'admin', 'instances', 'queues', 'shareGroups'] as const).map(part => [
      part,
      this.#long(this.#fake[part])
    ])
    const { lost, isReady } = this.#fake
    return { ...Object.fromEntries(parts), isReady, lost, topics: this.#work, produce: this.#produce }
  }

  #long(part: object): object {
    return new Proxy(part, { get: (_, name) => (name === 'acquire' || name === 'consume' ? this.#wait : this.#work) })
  }

  readonly #work = (): Promise<never> => {
    this.asked++
    return new Promise((_, reject) => this.#fail.push(() => reject(new OverloadedError('made up'))))
  }

  readonly #wait = (): (() => void) => {
    this.asked++
    return () => undefined
  }

  readonly #produce: Verbs['produce'] = (records, options) => {
    this.asked++
    const pending = this.#fake.produce(records, options)
    this.#fail.push(() => this.#fake.calls.at(-1)!.settle(records.map(() => failure('overloaded'))))
    return pending
  }

  end(): void {
    for (const fail of this.#fail.splice(0)) fail()
  }
}

describe('the next request of a connection', () => {
  for (const api of new Set(endpoints.map(one => one.api))) {
    describe(`by ${api.name}`, () => {
      let started: Started
      let long: LongVerbs
      let socket: RawSocket
      /** Paths of the requests that have begun. */
      let begun: string[]

      before(async () => {
        long = new LongVerbs()
        const context = contextFor(long.verbs, api.settings.parse({}))
        started = await startHttp({
          own: true,
          plugin: async scope => {
            scope.addHook('onRequest', ({ url }, _, done) => {
              begun.push(url)
              done()
            })
            ;(await api.plugin(context as never))(scope)
          }
        })
      })
      after(() => started.http.close())
      beforeEach(async () => {
        begun = []
        long.asked = 0
        socket = await RawSocket.open(started.http.urls.apis.get('loud')!)
      })
      afterEach(async () => {
        long.end()
        socket.destroy()
        await untilNothingIsHeld(started)
      })

      /** Sends the request of an endpoint and another one in one piece, and waits until a verb has begun. */
      async function sendBoth(endpoint: Endpoint): Promise<void> {
        const { query = '', headers = {}, body } = sentTo(endpoint)
        const path = pathOf(endpoint).slice(api.prefix.length)
        const length = body === undefined ? {} : { 'content-length': body.length }
        const lines = Object.entries({ host: 'localhost', ...headers, ...length }).map(one => one.join(': '))
        const head = [`${endpoint.operation.method.toUpperCase()} ${path}${query} HTTP/1.1`, ...lines].join('\r\n')
        await socket.send(`${head}\r\n\r\n${body ?? ''}GET /behind/it/all HTTP/1.1\r\nhost: localhost\r\n\r\n`)
        while (long.asked === 0 && socket.received === '') await tick()
        expect(socket.received, 'the request is served').to.equal('')
      }

      for (const endpoint of endpoints.filter(one => one.api === api)) {
        const { name, operation } = endpoint
        const order = orderOf(operation.verb)
        if (order === 'atOnce' || name.includes('websocket')) continue
        if (order === 'work') {
          it(`begins when the work of the one before it is done: ${name}`, async () => {
            await sendBoth(endpoint)
            for (let ticks = 0; ticks < TICKS; ticks++) await tick()
            expect(begun).to.have.length(1)
            while (begun.length < 2) {
              long.end()
              await tick()
            }
          })
        } else {
          it(`begins when what the one before it brings is handed on, before the answer to that: ${name}`, async () => {
            await sendBoth(endpoint)
            while (begun.length < 2) await tick()
            expect(socket.received).to.equal('')
          })
        }
      }
    })
  }
})

describe('facts about the order of one connection', () => {
  it('tell it of each verb of a request that is not safe', () => {
    const all = [
      ...endpoints.map(({ name, operation }) => ({ ...operation, name })),
      ...Object.values(webhooksOperations)
    ]
    const unordered = all.filter(
      ({ method, verb }) => !SAFE.includes(method) && !CHANGE_NOTHING.includes(verb) && orderOf(verb) === 'atOnce'
    )
    expect(unordered.map(({ id, verb }) => `${id}: ${verb}`)).to.deep.equal([])
  })
})
