import { expect } from 'chai'
import { silentLogger } from '../../../src/core/model.js'
import { type Frame, Link } from '../../../src/deployment/workers/link.js'
import { Supervisor } from '../../../src/deployment/workers/supervisor.js'
import type { WorkerProcess } from '../../../src/deployment/workers/worker-process.js'
import { FakeTime } from '../../support/fake-time.js'
import { turns } from '../../support/ticks.js'

/** A worker in this process, which does what it is told. */
class FakeProcess implements WorkerProcess {
  readonly pid = 1
  readonly link: Link
  isKilled = false
  #receive: (message: unknown) => void = () => undefined
  #end: (how: string) => void = () => undefined

  constructor() {
    this.link = new Link(frame => queueMicrotask(() => this.#receive(frame)))
    this.link.serve('start', order => ({ greeting: order }))
    this.link.serve('stop', () => 'bye')
    this.link.serve('exit', () => this.end('exit code 0'))
  }

  send(frame: Frame): void {
    queueMicrotask(() => this.link.receive(frame))
  }

  kill(): void {
    this.isKilled = true
    this.end('SIGKILL')
  }

  end(how: string): void {
    queueMicrotask(() => this.#end(how))
  }

  onMessage(listener: (message: unknown) => void): void {
    this.#receive = listener
    this.link.tell('hello')
  }

  onEnd(listener: (how: string) => void): void {
    this.#end = listener
  }
}

describe('the supervisor of workers', () => {
  let time: FakeTime
  beforeEach(() => {
    time = new FakeTime('performance')
  })
  afterEach(() => time.restore())

  function supervise(prepare: (worker: FakeProcess, number: number, start: number) => void = () => undefined) {
    const started: { number: number; at: number; worker: FakeProcess }[] = []
    const ended: number[] = []
    const ordered: number[] = []
    const supervisor = new Supervisor({
      count: 2,
      restartPauseMs: 100,
      fork: number => {
        const worker = new FakeProcess()
        prepare(worker, number, started.length)
        started.push({ number, at: time.now(), worker })
        return worker
      },
      prepare: number => () => {
        ordered.push(number)
        return `order ${number}`
      },
      onEnded: number => ended.push(number),
      log: silentLogger,
      random: () => 1
    })
    return { supervisor, started, ended, ordered }
  }

  it('starts all, and hands on what they say', async () => {
    const { supervisor } = supervise()
    expect(await supervisor.start()).to.deep.equal([{ greeting: 'order 1' }, { greeting: 'order 2' }])
    expect(supervisor.workers.map(({ isUp }) => isUp)).to.deep.equal([true, true])
  })

  it('orders when one says hello, since the configuration may change until then', async () => {
    let sayHello: () => void = () => undefined
    const { supervisor, ordered } = supervise((worker, number) => {
      if (number === 1)
        worker.onMessage = listener => (sayHello = () => FakeProcess.prototype.onMessage.call(worker, listener))
    })
    const starting = supervisor.start()
    await turns(5)
    expect(ordered).to.deep.equal([])
    sayHello()
    await starting
    expect(ordered).to.deep.equal([1, 2])
  })

  it('starts no other one when the first cannot be started', async () => {
    const { supervisor, started } = supervise(worker =>
      worker.link.serve('start', () => {
        throw Object.assign(new Error('the port is taken'), { code: 'invalidConfig' })
      })
    )
    const error = await supervisor.start().catch((refusal: unknown) => refusal)
    expect(error).to.deep.include({ message: 'the port is taken' })
    expect((error as { cause: object }).cause).to.deep.include({ code: 'invalidConfig' })
    expect(started).to.have.length(1)
  })

  it('fails when one ends before it serves', async () => {
    const { supervisor } = supervise((worker, number) => {
      if (number === 2) worker.link.serve('start', () => new Promise(() => worker.end('exit code 1')))
    })
    const error = await supervisor.start().catch((refusal: unknown) => refusal)
    expect(error).to.deep.include({ message: 'worker 2 has ended (exit code 1)' })
  })

  it('starts one again that has ended, after a pause that doubles, and leaves the other alone', async () => {
    const { supervisor, started, ended } = supervise()
    await supervisor.start()
    const pauses: number[] = []
    for (let i = 0; i < 9; i++) {
      const endedAt = time.now()
      started.at(-1)!.worker.end('SIGSEGV')
      await turns(5)
      expect(supervisor.workers[1]!.isUp).to.equal(false)
      await time.pass(15_100, 100)
      pauses.push(started.at(-1)!.at - endedAt)
      expect(supervisor.workers[1]).to.deep.include({ isUp: true, restarts: i + 1 })
    }
    expect(pauses).to.deep.equal([100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 15_000])
    expect(started.filter(({ number }) => number === 1)).to.have.length(1)
    expect(ended).to.deep.equal(new Array(9).fill(2))
  })

  it('kills one that does not serve after two minutes, and starts it again', async () => {
    const { supervisor, started } = supervise((worker, _, start) => {
      if (start === 2) worker.link.serve('start', () => new Promise(() => undefined))
    })
    await supervisor.start()
    started.at(-1)!.worker.end('SIGSEGV')
    await time.pass(100 + 119_000, 1_000)
    expect(started).to.have.length(3)
    expect(started[2]!.worker.isKilled).to.equal(false)
    await time.pass(3_000, 500)
    expect(started[2]!.worker.isKilled).to.equal(true)
    expect(started).to.have.length(4)
    expect(supervisor.workers[1]).to.deep.include({ isUp: true, restarts: 2 })
  })

  it('kills one that has reported and then does not for a minute, and starts it again', async () => {
    const { supervisor, started } = supervise()
    await supervisor.start()
    const isStandingStill = (): boolean => started[1]!.worker.isKilled
    for (let second = 0; second < 100; second++) {
      supervisor.reported(1)
      if (second < 30) supervisor.reported(2)
      await time.pass(1_000, 500)
      if (second < 80) expect(isStandingStill(), `${second} s`).to.equal(false)
    }
    expect([started[0]!.worker.isKilled, isStandingStill()]).to.deep.equal([false, true])
    expect(supervisor.workers[1]).to.deep.include({ isUp: true, restarts: 1 })
    // The new one has not reported yet.
    await time.pass(120_000, 5_000)
    expect(started.filter(({ number }) => number === 2)).to.have.length(2)
    await supervisor.stop(1_000)
  })

  it('kills one that stands still right after it was started', async () => {
    const { supervisor, started } = supervise((worker, number) => {
      worker.link.serve('start', () => supervisor.reported(number))
    })
    await supervisor.start()
    await time.pass(70_000, 1_000)
    expect(started.slice(0, 2).map(({ worker }) => worker.isKilled)).to.deep.equal([true, true])
    await supervisor.stop(1_000)
  })

  it('fails when the first does not even say that it is there', async () => {
    const { supervisor } = supervise(worker => {
      worker.link.tell = () => undefined
    })
    const said = supervisor.start().catch((refusal: unknown) => refusal)
    await time.pass(121_000, 1_000)
    expect(await said).to.deep.include({ message: 'worker 1 has ended (SIGKILL)' })
  })

  it('pauses briefly again when it had served for long', async () => {
    const { supervisor, started } = supervise()
    await supervisor.start()
    for (let i = 0; i < 3; i++) {
      started.at(-1)!.worker.end('SIGSEGV')
      await time.pass(1_100)
    }
    await time.pass(60_000, 1_000)
    const endedAt = time.now()
    started.at(-1)!.worker.end('SIGSEGV')
    await time.pass(300)
    expect(started.at(-1)!.at - endedAt).to.equal(100)
  })

  it('goes on trying when one cannot be started again', async () => {
    const { supervisor, started } = supervise((worker, _, start) => {
      if (start >= 2 && start < 4) worker.link.serve('start', () => Promise.reject(new Error('no')))
    })
    await supervisor.start()
    started[1]!.worker.end('SIGKILL')
    await time.pass(2_000)
    expect(started).to.have.length(5)
    expect(supervisor.workers[1]!.isUp).to.equal(true)
  })

  it('stops all, and waits for their end', async () => {
    const { supervisor, started } = supervise()
    await supervisor.start()
    expect(await supervisor.stop(1_000)).to.deep.equal(['bye', 'bye'])
    expect(started.map(({ worker }) => worker.isKilled)).to.deep.equal([false, false])
    await time.pass(5_000, 100)
    expect(started).to.have.length(2)
  })

  it('goes on passing calls to one that stops, until it has ended', async () => {
    const ends: (() => void)[] = []
    const { supervisor } = supervise(worker => {
      worker.link.serve('stop', () => new Promise(resolve => ends.push(() => resolve('bye'))))
      worker.link.serve('status', () => 'it stops')
    })
    await supervisor.start()
    const stopped = supervisor.stop(1_000)
    await turns(5)
    const [one, other] = supervisor.workers
    expect(one!.isUp).to.equal(false)
    expect(await one!.link?.call('status')).to.equal('it stops')
    ends[0]!()
    await turns(20)
    expect([one!.link, other!.link === undefined]).to.deep.equal([undefined, false])
    ends[1]!()
    await stopped
  })

  it('kills one that does not stop in time, and starts none while it stops', async () => {
    const { supervisor, started } = supervise((worker, number) => {
      if (number === 2) worker.link.serve('stop', () => new Promise(() => undefined))
    })
    await supervisor.start()
    const stopped = supervisor.stop(1_000)
    await time.pass(4_000, 100)
    expect(await stopped).to.deep.equal(['bye'])
    expect(started.map(({ worker }) => worker.isKilled)).to.deep.equal([false, true])
    expect(started).to.have.length(2)
  })

  it('does not start one again whose pause has not ended when all are stopped', async () => {
    const { supervisor, started } = supervise()
    await supervisor.start()
    started[1]!.worker.end('SIGKILL')
    await turns(5)
    await supervisor.stop(1_000)
    await time.pass(5_000, 100)
    expect(started).to.have.length(2)
  })

  it('asks those that are up', async () => {
    const { supervisor, started } = supervise((worker, number) => worker.link.serve('statsd', () => `fine, ${number}`))
    await supervisor.start()
    expect([...(await supervisor.callAll('statsd', 100))]).to.deep.equal([
      [1, 'fine, 1'],
      [2, 'fine, 2']
    ])
    started[0]!.worker.end('SIGKILL')
    await turns(5)
    expect([...(await supervisor.callAll('statsd', 100))]).to.deep.equal([[2, 'fine, 2']])
  })
})
