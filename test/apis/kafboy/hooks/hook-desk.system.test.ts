import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { expect } from 'chai'
import type { Content } from '../../../../src/apis/kafboy/content.js'
import {
  type Edited,
  HookDesk,
  type HookDeskOptions,
  type HookProblem
} from '../../../../src/apis/kafboy/hooks/hook-desk.js'
import { type PackedRecords, unpackRecords } from '../../../../src/apis/kafboy/hooks/hook-messages.js'
import { type RecordOutcome, silentLogger } from '../../../../src/core/model.js'
import type { PendingProduce } from '../../../../src/gateway/gateway.js'
import { delivered, failure } from '../../../support/fake-gateway.js'
import { StoppedTime } from './stopped-time.js'

const here = (name: string): string => new URL(name, import.meta.url).href
const worker = new URL('../../../support/hook-worker.mjs', import.meta.url)
const TIMEOUT_MS = 1_000

const problems: HookProblem[] = []
const produced: string[] = []
const settles: ((outcomes: readonly RecordOutcome[]) => void)[] = []
let time: StoppedTime
let lostThreads = 0

const openDesk = (module = './misbehaving.ts', options: Partial<HookDeskOptions> = {}): Promise<HookDesk> =>
  HookDesk.open(
    {
      module: here(module),
      timeoutMs: TIMEOUT_MS,
      maxPendingCalls: 10_000,
      maxDecisionBytes: 16 * 1024 * 1024,
      worker,
      ...options
    },
    {
      log: { ...silentLogger, error: () => lostThreads++ },
      clock: () => time.nowMs,
      onProblem: problem => problems.push(problem),
      ekaf: () => ({
        accept: ({ topic, contents }, isBatch, accepted) => {
          produced.push(`${isBatch ? 'batch' : 'async'} ${topic}: ${text(contents)}`)
          accepted(undefined)
        },
        produce: ({ topic, contents }, mode, begun) => {
          produced.push(`${mode} ${topic}: ${text(contents)}`)
          const outcomes = new Promise<readonly RecordOutcome[]>(resolve => settles.push(resolve))
          begun({ refused: undefined, outcomes: () => outcomes } as PendingProduce)
        },
        info: async topic => (topic === 'known' ? { topic, bufferedRecords: 5, workers: [] } : undefined)
      })
    }
  )

const ask = (desk: HookDesk, topic: string, body = 'a=1&__proto__=2'): Promise<Edited> =>
  new Promise(resolve => desk.edit({ topic, mode: 'async', isJson: false, head: '' }, Buffer.from(body), resolve))

const messageOf = (opening: Promise<unknown>): Promise<string | undefined> =>
  opening.then(
    () => undefined,
    (error: Error) => error.message
  )

const text = (contents: readonly Content[] | undefined): string | undefined =>
  contents?.map(({ value }) => (value!.length > 100 ? `${value!.length} bytes` : String(value))).join('|')

const textOf = (records: PackedRecords | undefined): string | undefined => text(records && unpackRecords(records))

function said(edited: Edited): string {
  switch (edited.type) {
    case 'produce':
      return `produce ${edited.produce.topic ?? ''}: ${textOf(edited.produce.records)}`
    case 'reply':
      return `reply ${edited.body}`
    case 'reject':
      return `reject ${edited.message}`
    default:
      return edited.type
  }
}

describe('kafboy: hooks that misbehave', function () {
  this.timeout(120_000)
  let desk: HookDesk
  before(async () => {
    time = new StoppedTime()
    desk = await openDesk()
  })
  after(() => desk.close())
  beforeEach(() => {
    problems.length = produced.length = lostThreads = 0
  })
  afterEach('the next request is served as if nothing had been', async () => {
    expect(said(await ask(desk, 'ok'))).to.equal('produce : good')
  })

  const decided: [topic: string, expected: string, problem?: HookProblem][] = [
    ['throws', 'threw', 'threw'],
    ['rejects', 'threw', 'threw'],
    ['throws-nothing', 'threw', 'threw'],
    ['decides-twice', 'produce : good', 'twice'],
    ['thenable', 'produce : good', 'twice'],
    ['mutates', 'produce : before'],
    ['ten-megabytes', 'produce : 10485760 bytes'],
    ['too-much', 'threw', 'threw'],
    ['a-million-records', 'threw', 'threw'],
    ['pollutes', 'produce : [["a","1"],["__proto__","2"]]'],
    ['prototype-decision', 'reject unexp'],
    ['recurses', 'threw', 'threw'],
    ['returns-a-number', 'reject unexp'],
    ['returns-a-function', 'reject unexp'],
    ['returns-201', 'reject unexp'],
    ['circular', 'threw', 'threw'],
    ['getter', 'threw', 'threw'],
    ['proxy', 'reject unexp'],
    ['throws-in-a-timer', 'produce : good', 'stray'],
    ['forgets-a-rejection', 'produce : good', 'stray'],
    ['wrong-produce', 'threw', 'threw'],
    ['exits', 'threw', 'threw'],
    ['closes-its-port', 'threw', 'threw'],
    ['sends-garbage', 'threw', 'threw']
  ]
  for (const [topic, expected, problem] of decided) {
    it(`kafboy 8: ${topic}: ${expected}`, async () => {
      expect(said(await ask(desk, topic))).to.equal(expected)
      await ask(desk, 'ok')
      expect([...new Set(problems)]).to.deep.equal(problem === undefined ? [] : [problem])
    })
  }

  it('kafboy 8: large decisions and bodies share memory one after another, and none sees another', async () => {
    const textOfNth = (round: number, nth: number): string => `${round}-${nth};`.repeat(5_000 + 500 * nth)
    for (let round = 0; round < 5; round++) {
      const values = Array.from({ length: 8 }, (_, nth) => textOfNth(round, nth))
      const asked = values.map(
        value =>
          new Promise<readonly string[]>(resolve => {
            const request = { topic: 'echoes-twice', mode: 'async', isJson: false, head: '' } as const
            desk.edit(request, Buffer.from(`a=${value}`), edited => {
              const records = edited.type === 'produce' ? unpackRecords(edited.produce.records!) : []
              resolve(records.map(({ value }) => String(value)))
            })
          })
      )
      expect(await Promise.all(asked)).to.deep.equal(values.map(value => [value, value]))
    }
  })

  for (const topic of ['hangs', 'never-settles']) {
    it(`kafboy 8: ${topic}: its time is over, and others are served`, async () => {
      expect(said(await time.passUntilSettled(ask(desk, topic)))).to.equal('timedOut')
    })
  }

  for (const topic of ['loops', 'loops-later']) {
    it(`kafboy 8: ${topic}: its time is over, and others are served by another thread`, async () => {
      expect(said(await time.passUntilSettled(ask(desk, topic)))).to.equal('timedOut')
      const next = ask(desk, 'ok')
      await time.passUntil(() => lostThreads > 0)
      expect(said(await next)).to.equal('produce : good')
    })
  }

  it('requests before and behind a loop in the same turn are served by the next thread', async () => {
    const all = ['ok', 'loops', 'ok'].map(topic => ask(desk, topic))
    await time.passUntilSettled(all[1]!)
    await time.passUntil(() => lostThreads > 0)
    expect((await Promise.all(all)).map(said)).to.deep.equal(['produce : good', 'timedOut', 'produce : good'])
  })

  it('requests of others wait for one deadline at most beside many that make a hook loop, again and again', async () => {
    let isOver = false
    const loopOn = async (): Promise<void> => {
      while (!isOver) expect(said(await ask(desk, 'loops'))).to.equal('timedOut')
    }
    const loops = Array.from({ length: 8 }, loopOn)
    for (let round = 0; round < 6; round++) {
      const before = lostThreads
      let isSettled = false
      const other = ask(desk, 'ok').finally(() => (isSettled = true))
      await time.passUntil(() => isSettled || lostThreads > before)
      // The clock stands still while the next thread starts.
      expect(said(await other)).to.equal('produce : good')
    }
    isOver = true
    await time.passUntilSettled(Promise.all(loops))
  })

  it('a topic whose hook has looped is served when no other waits', async () => {
    await time.passUntilSettled(ask(desk, 'loops/now'))
    await ask(desk, 'ok')
    const next = Array.from({ length: 20 }, () => ask(desk, 'loops/now', 'well=1'))
    time.nowMs += TIMEOUT_MS / 5
    expect(new Set((await Promise.all(next)).map(said))).to.deep.equal(new Set(['produce : good']))
  })

  it('a decision that comes too late is dropped', async () => {
    expect(said(await time.passUntilSettled(ask(desk, 'decides-late')))).to.equal('timedOut')
    expect(said(await ask(desk, 'decides-now'))).to.equal('produce : good')
    expect(problems).to.deep.equal(['timedOut', 'late'])
  })

  it('an error hook that throws or loops holds up nobody for longer than the deadline', async () => {
    await new Promise<void>(resolve => desk.error('throw', resolve))
    await time.passUntilSettled(new Promise<void>(resolve => desk.error('loop', resolve)))
    const next = ask(desk, 'ok')
    await time.passUntil(() => lostThreads > 0)
    expect(said(await next)).to.equal('produce : good')
  })

  it('an event hook that throws is told of', async () => {
    desk.event({ name: 'ekaf_callback_flush', topic: 't' })
    await ask(desk, 'ok')
    expect(problems).to.deep.equal(['stray'])
  })

  it('a picker that throws does not mind; one that refuses refuses', async () => {
    const records: Content[] = [
      { key: null, value: 'a' },
      { key: '9', value: 'b' }
    ]
    const picked = await new Promise(resolve => desk.pick('t', 3, records, resolve))
    expect(picked).to.deep.equal([-1, -2])
  })

  it('ekaf 4: a hook can ask what is known of a topic', async () => {
    expect(said(await ask(desk, 'asks', 'known'))).to.equal(
      'produce : {"topic":"known","bufferedRecords":5,"workers":[]}'
    )
    expect(said(await ask(desk, 'asks', 'nowhere'))).to.equal('produce : nothing')
    expect(said(await ask(desk, 'asks', ''))).to.equal('threw')
  })

  it('what a lost thread has asked for is not told to the next one, whose calls have the same numbers', async () => {
    settles.length = 0
    // The next thread has served for a while: others have ended it before.
    time.nowMs += TIMEOUT_MS / 2
    const lost = ask(desk, 'produces-and-waits', 'lost')
    while (settles.length < 1) await sleep(10)
    await ask(desk, 'exits')
    expect(said(await lost)).to.equal('threw')
    const next = ask(desk, 'produces-and-waits', 'next')
    while (settles.length < 2) await sleep(10)
    settles[0]!([failure('recordTooLarge')])
    settles[1]!([delivered(0, 7), failure('recordTooLarge')])
    expect(said(await next)).to.equal(
      'produce : [{"type":"sent","partition":0,"offset":7},{"type":"failed","error":10}]'
    )
  })

  it('massaging without a hook for it fails', async () => {
    expect(await new Promise(resolve => desk.massage('t', [{ key: null, value: 'a' }], resolve))).to.equal(undefined)
  })

  it('refuses what is beyond the limit of pending calls at once', async () => {
    const small = await openDesk('./misbehaving.ts', { maxPendingCalls: 2 })
    const waiting = [ask(small, 'hangs'), ask(small, 'hangs')]
    expect(said(await ask(small, 'ok'))).to.equal('overloaded')
    await small.close()
    expect((await Promise.all(waiting)).map(said)).to.deep.equal(['threw', 'threw'])
  })

  it('a thousand requests at once have a thousand answers, each its own', async () => {
    const topics = Array.from({ length: 1_000 }, (_, i) => (i % 3 === 0 ? 'throws' : i % 3 === 1 ? 'mutates' : 'ok'))
    const all = await Promise.all(topics.map(topic => ask(desk, topic)))
    expect(all.map(said)).to.deep.equal(
      topics.map(topic => ({ throws: 'threw', mutates: 'produce : before', ok: 'produce : good' })[topic])
    )
    expect(desk.pendingCalls).to.equal(0)
  })

  const unusable: [module: string, expected: string][] = [
    ['./no-such-file.mjs', 'Cannot find module'],
    ['./hook-runner.test.ts', 'describe is not defined'],
    ['data:text/javascript,export const a = 1', 'it has no default export'],
    ['data:text/javascript,export default { editJSON() {} }', 'it exports "editJSON"; there are editJson, onError'],
    ['data:text/javascript,export default { editJson: 5 }', 'its editJson is no function'],
    ['data:text/javascript,process.exit(1)', 'it ended with code 1']
  ]
  for (const [module, expected] of unusable) {
    it(`refuses ${module.slice(0, 50)} at start`, async () => {
      const message = await messageOf(openDesk(module))
      expect(message).to.include('apis.kafboy.callbackEditJson').and.to.include(expected)
    })
  }

  it('refuses a module that is never done with loading', async () => {
    const module = 'data:text/javascript,await new Promise(() => setInterval(() => undefined, 1000))'
    const message = await messageOf(openDesk(module, { loadTimeoutMs: 2_000 }))
    expect(message).to.equal(
      'apis.kafboy.callbackEditJson: the module cannot be used: it was not loaded within 2 s; is there an await at its top that never ends?'
    )
  })

  const withFile = async (name: string, content: string, check: (url: string) => Promise<void>): Promise<void> => {
    const directory = mkdtempSync(join(tmpdir(), 'castellan-hooks-'))
    writeFileSync(join(directory, name), content)
    await check(pathToFileURL(join(directory, name)).href).finally(() => rmSync(directory, { recursive: true }))
  }

  it('loads a module in TypeScript with Node or tsx, and says in one line what is missing where there is neither', async () => {
    const built = new URL('../../../../dist/apis/kafboy/hooks/hook-worker.js', import.meta.url)
    const typed = await openDesk('./misbehaving.ts', { worker: built })
    expect(typed.has('editJson')).to.equal(true)
    await typed.close()
    await withFile('hooks.ts', 'export default { editJson(request: object) { return [] } }', async url => {
      const [major, minor] = process.versions.node.split('.').map(Number) as [number, number]
      const hooks = openDesk(url, { worker: built })
      if (major > 22 || (major === 22 && minor >= 18)) await (await hooks).close()
      else {
        expect((await messageOf(hooks))!).to.match(
          /: a module in TypeScript needs Node 22\.18 or later, or the package tsx in its project \(npm install tsx\)$/
        )
      }
    })
  })

  it('tells how to find the place in a module that cannot be parsed', () =>
    withFile('broken.mjs', 'export default {\n  editJson() {}\n  onError() {}\n}\n', async url => {
      expect(await messageOf(openDesk(url))).to.match(
        /cannot be used: Unexpected identifier.*; run node \S+broken\.mjs to see where$/
      )
    }))
})
