import { expect } from 'chai'
import { LIBRARY_FACTS, type LibraryFacts, type LibraryPath } from '../../src/client/library-facts.js'
import type { Castellan } from '../../src/client.js'
import { CastellanError } from '../../src/core/errors.js'
import { onBroker } from '../support/stage.js'
import { ALL, COMMITTED, topicOfTransactions } from '../support/transactions-topic.js'
import { libraryCalls } from './library-calls.js'

const facts = Object.entries<LibraryFacts>(LIBRARY_FACTS) as [LibraryPath, LibraryFacts][]

/** Collects values until there are so many. */
class Values {
  readonly all: string[] = []
  readonly #count: number

  constructor(count: number) {
    this.#count = count
  }

  /** @returns whether there are enough */
  add({ value }: { readonly value: Buffer | null }): boolean {
    this.all.push(String(value))
    return this.all.length >= this.#count
  }
}

/** By path: reads so many values of a topic from its beginning on. */
const reads: Readonly<Record<string, (castellan: Castellan, topic: string, values: Values) => Promise<void>>> = {
  read: async (castellan, topic, values) => {
    for await (const record of castellan.read(topic, { from: 'earliest' })) if (values.add(record)) break
  },
  consume: async (castellan, topic, values) => {
    const messages = castellan.consume({ group: `g${topic}`, topics: [topic], start: 'earliest' })
    for await (const message of messages) if (values.add(message)) break
  },
  'consume.batches': async (castellan, topic, values) => {
    const consumer = castellan.consume({ group: `g${topic}`, topics: [topic], start: 'earliest' })
    for await (const batch of consumer.batches()) if (batch.map(message => values.add(message)).includes(true)) break
  },
  'consume.run': async (castellan, topic, values) => {
    const enough = new AbortController()
    const { signal } = enough
    await castellan.consume({ group: `g${topic}`, topics: [topic], start: 'earliest', signal }).run(message => {
      if (values.add(message)) enough.abort()
    })
  },
  'queue.acquire': async (castellan, topic, values) => {
    for (let isEnough = false; !isEnough; ) {
      const messages = await castellan.queue({ topic, group: `g${topic}` }).acquire({ start: 'earliest', count: 10 })
      isEnough = messages.map(message => values.add(message)).includes(true)
    }
  },
  'queue.run': async (castellan, topic, values) => {
    const enough = new AbortController()
    const queue = castellan.queue({ topic, group: `g${topic}` })
    const handler = (message: { readonly value: Buffer | null }): void => {
      if (values.add(message)) enough.abort()
    }
    await queue.run(handler, { start: 'earliest', signal: enough.signal })
  }
}

describe('the library, by function', () => {
  const stage = onBroker()

  describe('after close', () => {
    let castellan: Castellan

    before(async () => {
      castellan = await stage.library()
      await castellan.close()
    })

    for (const [path, { afterClose }] of facts) {
      it(`is told that it is closed, as its facts say: ${path}`, async () => {
        const called = async (): Promise<unknown> => libraryCalls[path](castellan)
        if (afterClose === 'rejects') {
          const error = await called().then(
            () => undefined,
            (error: unknown) => error
          )
          expect(error).to.be.instanceOf(CastellanError)
          expect((error as CastellanError).code).to.equal('shuttingDown')
        } else if (afterClose === 'outcomes') {
          const [outcome] = (await called()) as [{ readonly code: string }]
          expect(outcome.code).to.equal('shuttingDown')
        } else {
          const given = await called()
          if (afterClose === 'nothing') expect(given).to.equal(0)
        }
      })
    }
  })

  for (const level of ['readCommitted', 'readUncommitted'] as const) {
    for (const [path, { isolation }] of facts) {
      if (isolation === undefined) continue
      it(`gives records as ${level} asks: ${path}`, async () => {
        const topic = await topicOfTransactions(stage)
        const castellan = await stage.library({ router: { isolationLevel: level } })
        const wanted = level === 'readCommitted' ? COMMITTED : ALL
        const values = new Values(wanted.length)
        await reads[path]!(castellan, topic, values)
        expect(values.all).to.deep.equal(wanted)
      })
    }
  }
})
