import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import type { Child } from '../../cli/child.js'
import { until } from '../../support/pixy-stage.js'
import { onCluster } from '../../support/stage.js'
import { EtlStage } from './etl-stage.js'

const COUNT = 30
/** The brokers' limit is 10 s more, and Kafka looks for transactions beyond theirs every 10 s. */
const SHORT_MS = 5_000
/** Longer than any case takes. */
const LONG_MS = 120_000
const FENCED = 3
/** In this time a member that does not wait for the end of a transaction begins before it. */
const LOOK_UPS_MS = 2_000
/** Longer than a call to a broker may take. */
const PAUSE_MS = 7_000

const goesOn = ({ process: child }: Child): void => {
  child.kill('SIGUSR2')
  child.kill('SIGCONT')
}
/** What a program is told of its first transaction. */
const firstEnd = async (program: Child): Promise<string> => (await program.line(/^(?:committed|failed) 1\b.*/))[0]

describe('chaos: a program with an open transaction', function () {
  this.timeout(300_000)
  const stage = onCluster()
  let etl: EtlStage
  beforeEach(async () => {
    etl = await EtlStage.open(stage)
    await etl.write(COUNT)
  })
  const opened = async (program: Child, isPaused: boolean): Promise<Child> => {
    await program.line(/^open 1$/)
    if (isPaused) program.process.kill('SIGSTOP')
    return program
  }

  for (const kind of ['static', 'dynamic'] as const) {
    const member = (instanceId: string) => (kind === 'static' ? { instanceId } : {})

    it(`that stands still for longer than the session of its ${kind} member is told, and goes on under its id`, async () => {
      const names = { id: `${etl.group} a`, ...member('a') }
      const paused = await opened(etl.start({ ...names, timeoutMs: LONG_MS, holdsFirst: true }), true)
      etl.start({ id: `${etl.group} b`, ...member('b') })
      await etl.write(COUNT)
      await etl.allAcknowledged()
      goesOn(paused)
      expect(await firstEnd(paused)).to.equal('failed 1 notAssigned no')
      await etl.writing(paused.line(/^committed/))
      await etl.expectOneBillEach()
    })

    it(`that stands still for longer than the brokers wait for it is fenced, and so is its ${kind} member`, async () => {
      const names = { id: `${etl.group} a`, ...member('a') }
      const paused = await opened(etl.start({ ...names, timeoutMs: SHORT_MS, holdsFirst: true }), true)
      etl.start({ id: `${etl.group} b`, ...member('b') })
      await etl.write(COUNT)
      // Readers come so far when the coordinator has aborted what is open.
      await etl.allRead()
      goesOn(paused)
      expect(await firstEnd(paused)).to.match(/^failed 1 (?:timedOut|notAssigned|fenced) no$/)
      expect(await etl.writing(paused.exit())).to.equal(FENCED)
      expect(paused.lines.at(-1)).to.match(/^failed \d+ fenced no$/)
      const next = etl.start(names)
      await etl.writing(next.line(/^committed/))
      await etl.expectOneBillEach()
    })
  }

  for (const isPaused of [false, true]) {
    const still = isPaused ? ' while it stands still' : ''

    it(`is fenced where a process with its id and its member takes over${still}`, async () => {
      const names = { id: `${etl.group} a`, instanceId: 'a', timeoutMs: LONG_MS }
      const former = await opened(etl.start({ ...names, holdsFirst: true }), isPaused)
      await etl.start(names).line(/^committed/)
      goesOn(former)
      expect(await firstEnd(former)).to.equal('failed 1 fenced no')
      expect(await former.exit()).to.equal(FENCED)
      await etl.write(COUNT)
      await etl.expectOneBillEach()
    })

    it(`may not acknowledge where a process with its member alone takes over${still}, and goes on`, async () => {
      const names = { instanceId: 'a', timeoutMs: LONG_MS }
      const former = await opened(etl.start({ id: `${etl.group} a`, ...names, holdsFirst: true }), isPaused)
      await etl.start({ id: `${etl.group} b`, ...names }).line(/^committed/)
      goesOn(former)
      expect(await firstEnd(former)).to.equal('failed 1 notAssigned no')
      await etl.writing(former.line(/^committed/))
      await etl.expectOneBillEach()
    })
  }

  it('that stands still before it sends its end is waited for by who takes its member over', async () => {
    const atEnd = { nth: 1, signal: 'SIGSTOP', when: 'before' } as const
    const former = etl.start({ id: `${etl.group} a`, instanceId: 'a', timeoutMs: LONG_MS, atEnd })
    await former.line(/^end 1$/)
    const memberId = await etl.memberId()
    etl.start({ id: `${etl.group} b`, instanceId: 'a' })
    await until(async () => (await etl.memberId()) !== memberId)
    await pass(LOOK_UPS_MS)
    former.process.kill('SIGCONT')
    expect(await firstEnd(former)).to.equal('committed 1')
    await etl.expectOneBillEach()
  })

  for (const [timeoutMs, what] of [
    [LONG_MS, 'learns that it has committed'],
    [SHORT_MS, 'does not repeat what has committed']
  ] as const) {
    it(`that stands still for ${PAUSE_MS} of ${timeoutMs} ms when it has sent its end ${what}`, async () => {
      const atEnd = { nth: 1, signal: 'SIGSTOP', when: 0 } as const
      const former = etl.start({ id: `${etl.group} a`, instanceId: 'a', timeoutMs, atEnd })
      await former.line(/^end 1$/)
      etl.start({ id: `${etl.group} b`, instanceId: 'a' })
      await Promise.all([etl.allRead(), pass(PAUSE_MS)])
      former.process.kill('SIGCONT')
      // Where its time is over, it may have given up before it reads the answer.
      if (timeoutMs === LONG_MS) expect(await firstEnd(former)).to.equal('committed 1')
      else expect(await firstEnd(former)).to.match(/^(?:committed 1|failed 1 timedOut unknown)$/)
      await etl.expectOneBillEach()
    })
  }

  it('is told when the group has rebalanced, and is offered again what has stayed', async () => {
    const first = await opened(etl.start({ id: `${etl.group} a`, timeoutMs: LONG_MS, holdsFirst: true }), false)
    const second = etl.start({ id: `${etl.group} b`, timeoutMs: LONG_MS })
    await second.line(/^committed/)
    goesOn(first)
    expect(await firstEnd(first)).to.equal('failed 1 notAssigned no')
    await etl.writing(first.line(/^committed/))
    await etl.expectOneBillEach()
  })
})

describe('chaos: a program that is killed when it has sent the end of a transaction', function () {
  this.timeout(400_000)
  const stage = onCluster()

  it('writes one bill for each order, beside ordinary acknowledgements of the same partitions', async () => {
    const etl = await EtlStage.open(stage)
    const names = { id: etl.group, instanceId: 'a' }
    for (const when of [0, 1, 3, 10, 'before', 0, 2, 5, 20, 'before'] as const) {
      const program = etl.start({ ...names, atEnd: { nth: 2, signal: 'SIGKILL', when } })
      await etl.writing(program.exit())
      expect(program.process.signalCode, program.stderr).to.equal('SIGKILL')
    }
    etl.start(names)
    await etl.expectOneBillEach()
  })
})
