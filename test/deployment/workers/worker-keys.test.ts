import { expect } from 'chai'
import { type Frame, Link } from '../../../src/deployment/workers/link.js'
import type { ParentLink, WorkerLink } from '../../../src/deployment/workers/messages.js'
import { ownerOfKey, passingOn, WorkerPeers, workerKeys } from '../../../src/deployment/workers/worker-peers.js'
import { SimulatedDisk } from '../../support/simulated-disk.js'
import { hashOf, KeyedKafka, KeyedProcess, type Seen } from '../gateways/key-gateways.js'

const COUNT = 2

describe('requests with keys at a gateway with several workers', () => {
  let kafka: KeyedKafka
  let links: Map<number, ParentLink>
  let disks: Map<number, SimulatedDisk>
  let workers: Map<number, KeyedProcess>
  let drawn = 0

  beforeEach(async () => {
    kafka = new KeyedKafka()
    links = new Map()
    workers = new Map()
    disks = new Map(Array.from({ length: COUNT }, (_, at) => [at + 1, new SimulatedDisk()]))
    for (let number = 1; number <= COUNT; number++) await start(number)
  })
  afterEach(() => {
    for (const { keys } of workers.values()) keys.close()
  })

  async function start(number: number): Promise<void> {
    const parentEnd: ParentLink = new Link(frame => queueMicrotask(() => workerEnd.receive(structuredClone(frame))))
    const workerEnd: WorkerLink = new Link((frame: Frame) =>
      queueMicrotask(() => parentEnd.receive(structuredClone(frame)))
    )
    parentEnd.serveAll(passingOn(number, to => links.get(to)))
    links.set(number, parentEnd)
    const owners = workerKeys(new WorkerPeers(workerEnd, number, COUNT))
    const worker = new KeyedProcess(String(number), owners, kafka)
    await worker.open(disks.get(number)!)
    workers.set(number, worker)
  }

  /** A worker is killed: its calls and those to it fail. */
  const kill = (number: number): void => {
    links.get(number)!.close('it has ended')
    links.delete(number)
    workers.get(number)!.isKilled = true
    for (const link of links.values()) link.tell('gone', number)
  }
  const keyOf = (owner: number): string => {
    for (;;) {
      const key = `key-${drawn++}`
      if (ownerOfKey(hashOf(key), COUNT) === owner) return key
    }
  }
  const send = (worker: number, key: string, lines = 'one'): Promise<Seen> => workers.get(worker)!.send(key, lines)
  const tick = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

  for (const owner of [1, 2]) {
    it(`are carried out once, and by worker ${owner}, which owns the key, wherever they come in`, async () => {
      for (const first of [1, 2]) {
        const key = keyOf(owner)
        kafka.accepted.length = 0
        const seen = await send(first, key)
        expect(seen).to.include({ status: 200, persisted: 'yes', reach: 'gateway', replayed: undefined })
        for (const at of [1, 2]) {
          expect(await send(at, key)).to.deep.equal({ ...seen, replayed: 'true' })
          expect(await send(at, key, 'other')).to.include({ status: 422, persisted: 'no' })
        }
        expect(kafka.accepted).to.deep.equal([`one at ${owner}`])
      }
    })
  }

  it('are answered 503 while the worker that owns the key is started again, which knows them then', async () => {
    const [known, other] = [keyOf(2), keyOf(2)]
    const first = await send(1, known)
    kill(2)
    expect(await send(1, known), 'it was passed on before').to.include({ status: 503, persisted: 'unknown' })
    expect(await send(1, other)).to.include({ status: 503, persisted: 'no' })
    await start(2)
    expect(await send(1, known)).to.deep.equal({ ...first, replayed: 'true' })
    expect(await send(1, other)).to.include({ status: 200, replayed: undefined })
    expect(kafka.accepted).to.deep.equal(['one at 2', 'one at 2'])
  })

  it('are answered 503 when the worker that carries them out is killed, and have one record', async () => {
    const key = keyOf(2)
    kafka.isUp = false
    const first = send(1, key)
    for (let nth = 0; nth < 5; nth++) await tick()
    kill(2)
    expect(await first).to.include({ status: 503, persisted: 'unknown' })
    await start(2)
    kafka.isUp = true
    kafka.deliver()
    expect((await send(1, key)).persisted).to.equal('yes')
    expect(kafka.accepted).to.deep.equal(['one at 2'])
  })

  it('are answered 503 by a worker that is starting or stopping', async () => {
    const key = keyOf(2)
    const { keys } = workers.get(2)!
    kill(2)
    keys.close()
    const parentEnd: ParentLink = new Link(frame => queueMicrotask(() => workerEnd.receive(structuredClone(frame))))
    const workerEnd: WorkerLink = new Link((frame: Frame) =>
      queueMicrotask(() => parentEnd.receive(structuredClone(frame)))
    )
    const peers = new WorkerPeers(workerEnd, 2, COUNT)
    links.set(2, parentEnd)
    expect((await send(1, key)).body).to.contain('This request has written nothing')
    const owners = workerKeys(peers)
    owners.serve(() => Promise.reject(new Error('it is carried out')))
    owners.close()
    expect((await send(1, key)).body).to.contain('This request has written nothing')
  })
})
