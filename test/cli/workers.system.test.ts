import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { Children, Gateway } from './child.js'
import { type Client, clientsOf, isAlive, metricsOf, pidsOf, readOrders, sampleOf, TWO } from './workers.js'

/** Whole gateways of several processes. */
describe('castellan serve --workers', function () {
  this.timeout(240_000)
  const children = new Children()
  afterEach(() => children.stopAll())

  it('workers 1: serves one port from all processes, and tells of all in one place', async () => {
    const gateway = await Gateway.start(children, TWO)
    await gateway.until(200)
    const clients = clientsOf(gateway.url, 8)
    const answers = await Promise.all(clients.flatMap(client => [client.push('a'), client.push('b')]))
    expect(answers.map(({ status }) => status)).to.deep.equal(new Array(16).fill(200))
    expect(new Set(answers.map(({ worker }) => worker)).size).to.equal(2)

    const answered = 'castellan_http_requests_total{api="kprf",method="POST",status="200"}'
    const delivered = 'castellan_delivery_delivered_records_total'
    let metrics = await metricsOf(gateway)
    // A worker that is late is shown as it was before, and delivery tells what it has counted once in a second.
    while (sampleOf(metrics, answered) < 16 || sampleOf(metrics, delivered) < 16) {
      await sleep(50)
      metrics = await metricsOf(gateway)
    }
    expect(sampleOf(metrics, answered)).to.equal(16)
    expect(sampleOf(metrics, delivered)).to.equal(16)
    expect(sampleOf(metrics, 'kafka_sent_messages{topic="orders"}')).to.equal(16)
    expect(sampleOf(metrics, 'castellan_http_connections')).to.be.within(8, 12)
    expect(sampleOf(metrics, 'castellan_cluster_brokers_known{cluster="default"}')).to.equal(1)
    expect([sampleOf(metrics, 'castellan_workers'), sampleOf(metrics, 'castellan_workers_up')]).to.deep.equal([2, 2])
    const health = (await (await fetch(`${gateway.management}/health-check`)).json()) as object
    expect(health).to.deep.include({ status: 'ok', broker: 'embedded' })

    expect(await readOrders(children, gateway)).to.have.length(16)
    for (const client of clients) client.close()
    const pids = await pidsOf(gateway)
    expect(await gateway.child.stop()).to.equal(0)
    expect(pids.filter(isAlive)).to.deep.equal([])
    expect(gateway.child.stderr).to.equal('')
    const stopped = gateway.child.lines.map(line => JSON.parse(line) as { msg: string; worker?: number })
    const by = stopped.filter(({ msg }) => msg === 'stopped').map(({ worker }) => worker)
    expect(by.sort()).to.deep.equal([1, 2])
    expect(stopped.at(-1)!.msg).to.equal('all workers have stopped')
  })

  it('workers 2: loses nothing acknowledged when one is killed, and the others are not disturbed', async () => {
    const gateway = await Gateway.start(children, TWO)
    await gateway.until(200)
    const clients = clientsOf(gateway.url, 12)
    const first = await Promise.all(clients.map((client, at) => client.push(`c${at}-0`)))
    const acknowledged = new Set(clients.map((_, at) => `c${at}-0`))
    const disturbed = new Set<string>()
    let isOver = false
    const load = async (client: Client, at: number): Promise<void> => {
      for (let n = 1; !isOver; n++) {
        const answer = await client.push(`c${at}-${n}`).catch(() => undefined)
        if (answer?.status === 200) acknowledged.add(`c${at}-${n}`)
        else disturbed.add(first[at]!.worker)
        await sleep(5)
      }
    }
    const running = clients.map(load)
    const enough = async (): Promise<void> => {
      const before = acknowledged.size
      while (acknowledged.size < before + 200) await sleep(10)
    }
    await enough()
    const [pid] = await pidsOf(gateway)
    process.kill(pid!, 'SIGKILL')
    await gateway.child.line(/worker 1 has ended \(SIGKILL\)/)
    await enough()
    await gateway.child.line(/worker 1 serves again/)
    await gateway.until(200)
    await enough()
    isOver = true
    await Promise.all(running)
    // Of the two processes, requests failed of one.
    expect(new Set(first.map(({ worker }) => worker)).size).to.equal(2)
    expect(disturbed.size).to.equal(1)
    const there = new Set(await readOrders(children, gateway))
    expect([...acknowledged].filter(value => !there.has(value))).to.deep.equal([])
    expect(sampleOf(await metricsOf(gateway), 'castellan_worker_restarts_total')).to.equal(1)
    for (const client of clients) client.close()
  })

  it('workers 3: finishes what has begun in every process when it is told to stop', async () => {
    const gateway = await Gateway.start(children, TWO)
    await gateway.until(200)
    const clients = clientsOf(gateway.url, 8)
    const workers = await Promise.all(clients.map((client, at) => client.push(`w${at}`)))
    expect(new Set(workers.map(({ worker }) => worker)).size).to.equal(2)
    const accepted = await Promise.all(clients.map((client, at) => client.push(`a${at}`, false)))
    expect(accepted.map(({ status }) => status)).to.deep.equal(new Array(8).fill(200))
    for (const client of clients) client.close()
    expect(await gateway.child.stop()).to.equal(0)
    const farewell = gateway.child.lines.find(line => line.includes('all workers have stopped'))
    expect(JSON.parse(farewell!)).to.deep.include({ lostRecords: 0 })
    // Nobody listens there any more.
    const port = Number(new URL(gateway.url).port)
    const server = createServer()
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve))
    await new Promise(resolve => server.close(resolve))
  })

  it('workers 4: go on and end while nothing reads their log', async () => {
    const gateway = await Gateway.start(children, [...TWO, '--set', 'http.accessLog.target=stdout'])
    await gateway.until(200)
    const { process } = gateway.child
    process.stdout!.pause()
    const clients = clientsOf(gateway.url, 8)
    // More lines than pipes and streams take.
    for (let round = 0; round < 500; round++) await Promise.all(clients.map(client => client.get('/kprf')))
    for (const client of clients) client.close()
    const ended = once(process, 'exit')
    process.kill('SIGTERM')
    expect(await ended).to.deep.equal([0, null])
  })
})
