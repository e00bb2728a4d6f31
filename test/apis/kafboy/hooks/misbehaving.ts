import { parentPort } from 'node:worker_threads'
import { defineKafboyHooks, type KafboyDecision } from '../../../../src/apis/kafboy/hooks/hooks.js'

/** Hooks that do everything wrong; the topic of a request says what. */
const anything = (value: unknown): KafboyDecision => value as KafboyDecision
const forever = (): never => {
  for (;;);
}
const recurse = (depth: number): number => recurse(depth + 1) + 1
const good: KafboyDecision = { produce: { data: 'good' } }
const callTwice = (resolve: (decision: unknown) => void): void => {
  resolve(good)
  resolve({ error: 'second' })
}
const later = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

let decideLate = (): void => {}

export default defineKafboyHooks({
  editJson(request, answer, ekaf) {
    if (request.topic.startsWith('loops/')) return request.body[0]?.[0] === 'well' ? good : forever()
    switch (request.topic) {
      case 'throws':
        throw new Error('on purpose')
      case 'rejects':
        return Promise.reject(new Error('on purpose'))
      case 'throws-nothing':
        throw undefined
      case 'hangs':
        return undefined
      case 'never-settles':
        return new Promise(() => {})
      case 'loops':
        return forever()
      case 'loops-later':
        return later(1).then(forever)
      case 'decides-twice':
        answer(good)
        answer({ error: 'second' })
        return { error: 'third' }
      case 'decides-late':
        decideLate = () => answer(good)
        return undefined
      case 'asks':
        return ekaf
          .info((request.body[0]?.[0] ?? undefined) as string)
          .then(info => ({ produce: { data: info === undefined ? 'nothing' : JSON.stringify(info) } }))
      case 'produces-and-waits':
        return ekaf.produceSync('t', request.body[0]![0]).then(said => ({ produce: { data: JSON.stringify(said) } }))
      case 'decides-now':
        decideLate()
        return good
      case 'echoes-twice': {
        const value = String(request.body[0]?.[1])
        return { produce: { data: [value, value] } }
      }
      case 'mutates': {
        const value = Buffer.from('before')
        const list = [value]
        answer({ produce: { data: list } })
        value.fill('x')
        list.push(Buffer.from('more'))
        return undefined
      }
      case 'ten-megabytes':
        return { produce: { data: Buffer.alloc(10 * 1024 * 1024, 'x') } }
      case 'too-much':
        return { produce: { data: Buffer.alloc(40 * 1024 * 1024) } }
      case 'a-million-records':
        return { produce: { data: new Array(2_000_000).fill('x') } }
      case 'pollutes':
        Object.assign(Object.prototype, { polluted: 1, topic: 'polluted', mode: 'sync' })
        setImmediate(() => {
          for (const name of ['polluted', 'topic', 'mode']) delete (Object.prototype as Record<string, unknown>)[name]
        })
        return { produce: { data: JSON.stringify(request.body) } }
      case 'prototype-decision':
        return anything(JSON.parse('{"__proto__":{"produce":{"data":"x"}}}'))
      case 'recurses':
        recurse(0)
        return good
      case 'returns-a-number':
        return anything(42)
      case 'returns-a-function':
        return anything(() => good)
      case 'returns-201':
        return anything({ status: 201, body: '{}' })
      case 'circular': {
        const body: Record<string, unknown> = {}
        body.self = body
        return { status: 200, body }
      }
      case 'getter':
        return anything({
          get produce() {
            throw new Error('on purpose')
          }
        })
      case 'proxy':
        return anything(
          new Proxy(
            {},
            {
              has: () => true,
              getOwnPropertyDescriptor: () => {
                throw new Error('on purpose')
              }
            }
          )
        )
      case 'thenable':
        return anything(Object.fromEntries([['then', callTwice]]))
      case 'exits':
        return process.exit(3)
      case 'closes-its-port':
        parentPort!.close()
        return undefined
      case 'sends-garbage':
        parentPort!.postMessage({ type: 'replies', replies: [null, { type: 'produce', id: 1 }], endsBatch: true })
        return undefined
      case 'throws-in-a-timer':
        setImmediate(() => {
          throw new Error('on purpose')
        })
        return later(20).then(() => good)
      case 'forgets-a-rejection':
        void Promise.reject(new Error('on purpose'))
        return later(20).then(() => good)
      case 'wrong-produce':
        ekaf.produceAsync('t', anything({ no: 'record' }) as never)
        return good
      default:
        return good
    }
  },
  onError({ message }) {
    if (message === 'throw') throw new Error('on purpose')
    if (message === 'loop') forever()
  },
  onEvent() {
    throw new Error('on purpose')
  },
  pickPartition({ key, partitionCount }) {
    if (key === null) throw new Error('on purpose')
    return { error: Number(key) > partitionCount ? 'no' : undefined } as { error: string }
  }
})
