import { expect } from 'chai'
import { DurableStage } from '../durable-stage.js'
import { sendWithKey, toHash } from './send-with-key.js'

const VALUES = Array.from({ length: 12 }, (_, at) => `${at}`)

/** The answer after which a client does not send again. */
const doneWith = (deadlineMs: number): Told => (deadlineMs === 0 ? 'pending' : 'yes')

/** What a client is told. */
type Told = string | undefined

describe('keys of requests whose process is killed', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())

  /** Sends a request with two records; resolves when it is answered. */
  const send = (value: string, deadlineMs: number): Promise<Told> =>
    sendWithKey(stage, value, [`${value}a`, `${value}b`], deadlineMs)

  const sendAll = (deadlineMs: number, told: Map<string, Told>): void => {
    for (const value of VALUES) {
      const tell = (answer: Told): void => void told.set(value, answer)
      // In a process that was killed before it began, a request finds no file.
      if (told.get(value) !== doneWith(deadlineMs)) send(value, deadlineMs).then(tell, () => undefined)
    }
  }

  for (const deadlineMs of [0, 5_000]) {
    const mode = deadlineMs === 0 ? 'an asynchronous' : 'a synchronous'
    it(`${mode} request that is sent again has its records once, whenever the process was killed`, async () => {
      for (let moment = 0; moment < 40; moment++) {
        stage?.restore()
        stage = new DurableStage({ topics: { orders: 2 } })
        await stage.start()
        const told = new Map<string, Told>()
        sendAll(deadlineMs, told)
        for (let step = 0; step < moment; step++) await stage.clock.nextAsync()
        await stage.restart()
        sendAll(deadlineMs, told)
        for (let step = 0; step < moment % 7; step++) await stage.clock.nextAsync()
        await stage.restart()
        sendAll(deadlineMs, told)
        for (let attempt = 0; attempt < 3; attempt++) {
          await stage.pass(10_000)
          sendAll(deadlineMs, told)
        }
        await stage.pass(10_000)
        expect([...new Set(told.values())], `killed after ${moment} steps`).to.deep.equal([doneWith(deadlineMs)])
        const values = stage.router.values('orders')
        const expected = VALUES.flatMap(value => [`${value}a`, `${value}b`])
        expect(values.toSorted(), `killed after ${moment} steps`).to.deep.equal(expected.toSorted())
        expect(stage.keys.claim({ hash: toHash('0'), fingerprint: 'another-' })).to.include({ type: 'conflict' })
      }
    })
  }
})
