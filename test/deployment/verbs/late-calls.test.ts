import { expect } from 'chai'
import sinon from 'sinon'
import type { InstanceName } from '../../../src/consumer/instance/instances.js'
import { ActorSystem } from '../../../src/core/actor/actor.js'
import { instanceSettings } from '../../support/instances.js'
import { Kafka, Network, StagedGateway } from './late-gateways.js'

const settings = { ...instanceSettings, maxWaitMs: 1_000 }
const instance: InstanceName = { groupId: 'g', name: 'one' }
const partition = { topic: 'orders', partition: 0 }

/** Of a client that leaves when its call is on its way. */
const leaving = (): (() => boolean) => {
  let asked = 0
  return () => asked++ === 0
}

for (const [where, instancesTopic] of [
  ['in Kafka', '__castellan_instances'],
  ['in memory alone', '']
] as const)
  describe(`late calls between gateways whose instances are ${where}`, () => {
    let clock: sinon.SinonFakeTimers
    let system: ActorSystem
    let kafka: Kafka
    let network: Network
    let a: StagedGateway
    let b: StagedGateway
    let c: StagedGateway
    beforeEach(() => {
      clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
      system = new ActorSystem()
      kafka = new Kafka()
      network = new Network()
      ;[a, b, c] = ['a', 'b', 'c'].map(id => new StagedGateway(id, { kafka, network, system }, instancesTopic)) as [
        StagedGateway,
        StagedGateway,
        StagedGateway
      ]
    })
    afterEach(async () => {
      await soon(Promise.all([a, b, c].map(({ instances }) => instances.stop(0))))
      clock.restore()
      await system.stop()
    })

    const soon = async <Result>(asking: Promise<Result>): Promise<Result> => {
      let isOver = false
      const over = asking.finally(() => (isOver = true))
      over.catch(() => undefined)
      while (!isOver) await clock.tickAsync(10)
      return over
    }
    const done = { type: 'done' }
    const commit = (by: StagedGateway, offset: number, isWanted = () => true) =>
      by.verbs.commit({ ...instance, isWanted }, [{ ...partition, offset, metadata: '' }])
    const created = async (): Promise<void> => {
      expect(await soon(a.verbs.create(instance, settings, undefined))).to.deep.include({ ...done, value: true })
      expect(await soon(a.verbs.assign(instance, [partition]))).to.include(done)
    }

    it('commit nothing after a later commit at the same owner', async () => {
      await created()
      expect(await soon(commit(a, 10))).to.include(done)
      network.held = 'commit'
      // Its client has given it up.
      await soon(commit(a, 20, leaving()))
      network.held = undefined
      expect(await soon(commit(c, 30))).to.include(done)
      expect(await soon(network.arrives())).to.include({ type: 'failed', code: 'clusterChanged' })
      expect(kafka.commits).to.deep.equal([10, 30])
    })

    if (instancesTopic !== '')
      it('read nothing of an instance from a process that stood still while it made it, and has lost it since', async () => {
        const held: (() => void)[] = []
        const answer = kafka.answer.bind(kafka)
        kafka.answer = message => {
          if (message.type !== 'fetchData') return answer(message)
          const result = answer(message)
          held.push(() => (message.requester as { reply(result: unknown): void }).reply(result))
          return undefined
        }
        const creation = b.instances.create(instance, settings, undefined)
        await clock.tickAsync(10)
        expect(held).to.have.lengthOf(1)
        kafka.answer = answer
        expect(await soon(c.instances.assign(instance, [partition]))).to.include(done)
        const late = b.instances.assignment(instance)
        for (const run of held) run()
        await soon(creation)
        expect(await soon(late)).to.include({ type: 'failed', code: 'clusterChanged' })
        expect(await soon(c.instances.assignment(instance))).to.deep.include({ ...done, value: [partition] })
      })

    if (instancesTopic !== '')
      it('find an instance that was created while an earlier call looked for it', async () => {
        const held: (() => void)[] = []
        const answer = kafka.answer.bind(kafka)
        kafka.answer = message => {
          if (message.type !== 'fetchOffset') return answer(message)
          const result = answer(message)
          held.push(() => (message.requester as { reply(result: unknown): void }).reply(result))
          return undefined
        }
        const early = b.instances.assignment(instance)
        await clock.tickAsync(10)
        expect(held).to.have.lengthOf(1)
        kafka.answer = answer
        expect(await soon(c.instances.create(instance, settings, undefined))).to.deep.include({ ...done, value: true })
        const later = b.instances.assignment(instance)
        for (const run of held) run()
        expect(await soon(early)).to.have.property('type', 'unknownInstance')
        expect(await soon(later)).to.deep.include({ ...done, value: [] })
      })

    it('remove no instance that was created anew', async () => {
      await created()
      network.held = 'remove'
      await soon(a.verbs.remove({ ...instance, isWanted: leaving() }))
      network.held = undefined
      expect(await soon(c.verbs.remove(instance))).to.include(done)
      await created()
      expect(await soon(network.arrives())).to.include({ code: 'clusterChanged' })
      expect(b.instances.has(instance)).to.equal(true)
    })

    it('create no instance that was created and removed since', async () => {
      await created()
      expect(await soon(a.verbs.remove(instance))).to.include(done)
      network.held = 'create'
      await soon(a.verbs.create({ ...instance, isWanted: leaving() }, settings, undefined))
      network.held = undefined
      expect(await soon(c.verbs.create(instance, settings, undefined))).to.include(done)
      expect(await soon(c.verbs.remove(instance))).to.include(done)
      await soon(network.arrives())
      expect(b.instances.has(instance)).to.equal(false)
    })

    it('carry out all changes of clients that take turns, whichever gateway they ask', async () => {
      await created()
      for (const [at, by] of [a, c, a, b, c, a].entries()) expect(await soon(commit(by, at))).to.include(done)
      const both = await soon(Promise.all([commit(a, 7), commit(c, 8), commit(a, 9)]))
      for (const result of both) expect(result).to.include(done)
      expect([...kafka.commits].sort()).to.deep.equal([0, 1, 2, 3, 4, 5, 7, 8, 9])
    })

    it('carry out all changes that one gateway passes on in the same moment', async () => {
      await created()
      const offsets = Array.from({ length: 30 }, (_, at) => at)
      const results = await soon(Promise.all(offsets.map(offset => commit(a, offset))))
      for (const result of results) expect(result).to.include(done)
      expect(kafka.commits).to.deep.equal(offsets)
    })

    it('hold up no later change of the same gateway for long, and count no more once its client has left', async () => {
      await created()
      expect(await soon(commit(a, 10))).to.include(done)
      network.stuck = 'commit'
      const first = commit(a, 20, leaving())
      await clock.tickAsync(10)
      expect(network.late).to.have.length(1)
      network.stuck = undefined
      const startedAt = performance.now()
      expect(await soon(commit(a, 30))).to.include(done)
      expect(performance.now() - startedAt).to.be.lessThan(5_000)
      expect(await soon(network.arrives())).to.include({ type: 'failed', code: 'clusterChanged' })
      await soon(first)
      expect(kafka.commits).to.deep.equal([10, 30])
    })

    for (const [what, isGone] of [
      ['', false],
      [', also if its caller was gone meanwhile', true]
    ] as const)
      it(`open no read whose end has come before it${what}`, async () => {
        await created()
        network.held = 'read'
        await soon(a.verbs.read(instance, { timeoutMs: 0, maxBytes: undefined }))
        network.held = undefined
        if (isGone) for (const listener of network.whenGone) listener('a')
        const read = sinon.spy(b.instances, 'read')
        expect(await soon(network.arrives()))
          .to.have.nested.property('value.records')
          .that.has.length(0)
        expect(read.callCount).to.equal(0)
      })

    if (instancesTopic === '') return

    it('carry out nothing for a client that has left while its gateway took the instance over', async () => {
      for (const change of [
        (isWanted: () => boolean) => commit(a, 20, isWanted),
        (isWanted: () => boolean) => a.verbs.seek({ ...instance, isWanted }, [{ ...partition, position: 20 }]),
        (isWanted: () => boolean) => a.verbs.assign({ ...instance, isWanted }, []),
        (isWanted: () => boolean) => a.verbs.remove({ ...instance, isWanted })
      ]) {
        expect(await soon(c.verbs.create(instance, settings, undefined))).to.include(done)
        expect(await soon(c.verbs.assign(instance, [partition]))).to.include(done)
        network.silent.add('b')
        network.held = 'release'
        let goOn: (value?: unknown) => void = () => undefined
        network.givenUp = new Promise(resolve => (goOn = resolve))
        let isWanted = true
        const late = change(() => isWanted)
        while (network.late.length === 0) await clock.tickAsync(10)
        isWanted = false
        network.silent.clear()
        network.held = undefined
        expect(await soon(commit(b, 30))).to.include(done)
        goOn()
        expect(await soon(late)).to.not.include(done)
        expect(kafka.commits.splice(0)).to.deep.equal([30])
        expect(await soon(c.verbs.assignment(instance))).to.deep.include({ ...done, value: [partition] })
        network.late.splice(0)
        expect(await soon(c.verbs.remove(instance))).to.include(done)
      }
    })

    it('create no instance for a client that has left while the one before it was being removed', async () => {
      await created()
      const onTheirWay: (() => void)[] = []
      kafka.onTheirWay = onTheirWay
      const before = commit(b, 10)
      while (onTheirWay.length === 0) await clock.tickAsync(10)
      const removed = b.verbs.remove(instance)
      await clock.tickAsync(100)
      let isWanted = true
      const late = b.verbs.create({ ...instance, isWanted: () => isWanted }, settings, undefined)
      await clock.tickAsync(100)
      isWanted = false
      for (const arrive of onTheirWay) arrive()
      expect(await soon(removed)).to.include(done)
      expect(await soon(late)).to.not.include(done)
      await soon(before)
      expect(b.instances.has(instance)).to.equal(false)
      expect(kafka.log.at(-1)?.value).to.equal(null)
    })

    it('commit nothing after a later commit of a gateway that has got the instance meanwhile', async () => {
      await created()
      const onTheirWay: (() => void)[] = []
      kafka.onTheirWay = onTheirWay
      const late = commit(b, 10, () => false)
      for (let ticks = 0; ticks < 100 && onTheirWay.length === 0; ticks++) await clock.tickAsync(10)
      expect(onTheirWay).to.have.length(1)
      kafka.onTheirWay = undefined
      // `a` can ask `b` to give the instance up, and no more.
      network.silent.add('b')
      const next = commit(a, 30)
      for (let ticks = 0; ticks < 100; ticks++) await clock.tickAsync(10)
      for (const arrive of onTheirWay) arrive()
      expect(await soon(next)).to.include(done)
      await soon(late)
      expect(kafka.commits).to.deep.equal([10, 30])
    })

    it('remove no instance that was created anew while Kafka did not take its state', async () => {
      await created()
      network.held = 'remove'
      await soon(a.verbs.remove({ ...instance, isWanted: leaving() }))
      network.held = undefined
      kafka.isForbidden = true
      expect(await soon(c.verbs.remove(instance))).to.include(done)
      await created()
      kafka.isForbidden = false
      await clock.tickAsync(60_000)
      expect(await soon(network.arrives())).to.include({ code: 'clusterChanged' })
      expect(b.instances.has(instance)).to.equal(true)
    })

    it('take no instance over from a gateway that has gone on with it', async () => {
      await created()
      expect(await soon(commit(a, 10))).to.include(done)
      network.held = 'commit'
      // `a` goes on itself, as `b` does not answer.
      expect(await soon(commit(a, 20))).to.include(done)
      network.held = undefined
      network.silent.add('b')
      expect(await soon(commit(a, 30))).to.include(done)
      network.silent.clear()
      expect(await soon(network.arrives())).to.include({ code: 'clusterChanged' })
      expect(kafka.commits).to.deep.equal([10, 20, 30])
      expect(a.instances.has(instance)).to.equal(true)
    })

    it('take no instance over from a gateway that has gone on with it, and cannot be called from there', async () => {
      await created()
      network.silent.add('b')
      expect(await soon(commit(c, 10))).to.include(done)
      network.silent.clear()
      // `a` has the instance now, and `b` is asked first: what is on its way there may still arrive.
      network.cut.add('c>b')
      expect(await soon(commit(c, 20))).to.include(done)
      expect(await soon(commit(c, 30))).to.include(done)
      network.cut.add('b>a')
      expect(network.late).to.have.length(2)
      for (const late of network.late.splice(0, 2))
        expect(await soon(late())).to.include({ type: 'failed', code: 'clusterChanged' })
      expect([kafka.commits, b.instances.has(instance)]).to.deep.equal([[10, 20, 30], false])
    })

    it('take no instance over after a call that was not answered in time, when its gateway cannot be called any more', async () => {
      await created()
      network.silent.add('b')
      expect(await soon(commit(c, 10))).to.include(done)
      network.silent.clear()
      network.slow.add('c>b')
      expect(await soon(commit(c, 20))).to.have.property('type', 'failed')
      network.slow.clear()
      network.unsent.add('c>b')
      expect(await soon(commit(c, 30))).to.include(done)
      network.cut.add('b>a')
      expect(await soon(network.arrives())).to.include({ type: 'failed', code: 'clusterChanged' })
      expect([kafka.commits, b.instances.has(instance)]).to.deep.equal([[10, 30], false])
    })

    it('change nothing that was changed later, when a hello has failed after 2.9 s', async () => {
      await created()
      expect(await soon(commit(a, 10))).to.include(done)
      let helloFails!: () => void
      network.givenUp = new Promise<void>(resolve => (helloFails = resolve))
      network.cut.add('a>b')
      const first = commit(a, 20)
      await clock.tickAsync(500)
      const second = commit(a, 30)
      await clock.tickAsync(2_400)
      // It was passed on while the first one stood still.
      expect(network.late).to.have.length(2)
      helloFails()
      for (const result of await soon(Promise.all([first, second]))) expect(result).to.include(done)
      network.cut.clear()
      expect(await soon(commit(c, 40))).to.include(done)
      expect(await soon(c.verbs.remove(instance))).to.include(done)
      await created()
      while (network.late.length > 0) await soon(network.arrives())
      expect(kafka.commits).to.deep.equal([10, 20, 30, 40])
      expect(await soon(c.verbs.assignment(instance))).to.deep.include({ value: [partition] })
    })

    it('keep the assignment when a commit is repeated where the instance was not before', async () => {
      await created()
      network.held = 'commit'
      expect(await soon(commit(a, 10))).to.include(done)
      network.held = undefined
      network.silent.add('b')
      network.silent.add('a')
      expect(await soon(c.verbs.assignment(instance))).to.deep.include({ value: [partition] })
    })

    it('commit nothing after a later commit when no gateway could call another one for a while', async () => {
      await created()
      expect(await soon(commit(a, 10))).to.include(done)
      network.held = 'commit'
      const answered = [10]
      for (const [offset, by] of [
        [20, a],
        [30, c],
        [40, a],
        [50, c],
        [60, b],
        [70, c]
      ] as const) {
        if ((await soon(commit(by, offset))).type === 'done') answered.push(offset)
      }
      network.held = undefined
      expect(answered).to.include(70)
      const before = [...kafka.commits]
      expect(network.late.length).to.be.at.least(6)
      for (let next = network.late.length; next > 0; next--)
        expect(await soon(network.arrives())).to.include({ type: 'failed', code: 'clusterChanged' })
      expect(kafka.commits).to.deep.equal(before)
      expect(kafka.commits.at(-1)).to.equal(70)
      expect(await soon(commit(b, 80))).to.include(done)
    })

    it('take no instance over with a number that its owner does not have any more', async () => {
      await created()
      network.silent.add('b')
      expect(await soon(commit(a, 10))).to.include(done)
      network.silent.clear()
      // `c` knows the number that the instance has at `a`, and asks `b`, which is the owner again.
      const asked = c.verbs.assignment(instance)
      expect(await soon(asked)).to.include(done)
      expect(b.instances.has(instance)).to.equal(true)
      expect(a.instances.has(instance)).to.equal(false)
      expect(await soon(commit(c, 20))).to.include(done)
      expect(kafka.commits).to.deep.equal([10, 20])
    })

    it('release no instance that has changed', async () => {
      await created()
      const number = b.instances.numberOf(instance)
      expect(await soon(commit(a, 10))).to.include(done)
      const late = { ...instance, attempt: { number, isPassedOn: true, isRepeated: false } }
      expect(await soon(b.instances.release(late))).to.equal(b.instances.numberOf(instance))
      expect(b.instances.has(instance)).to.equal(true)
    })
  })
