import { createSocket } from 'node:dgram'
import { mkdtempSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { freePorts } from '../runs/real-kafka/ports.js'
import { Children, Gateway } from './child.js'
import { type Answer, Client, clientsOf, endOf, isAlive, metricsOf, pidsOf, sampleOf, TWO } from './workers.js'

/** Whole gateways of several processes. */
describe('castellan serve --workers: each promise', function () {
  this.timeout(240_000)
  const children = new Children()
  afterEach(() => children.stopAll())

  it('workers 14: a connection that a process was handed and has not taken ends with the process', async () => {
    const gateway = await Gateway.start(children, TWO)
    await gateway.until(200)
    const port = Number(new URL(gateway.url).port)
    const [pid] = await pidsOf(gateway)
    // It takes nothing any more, as a process that is about to be killed.
    process.kill(pid!, 'SIGSTOP')
    const ends = Array.from({ length: 6 }, () => endOf(port))
    const answered = (): number => ends.filter(({ said }) => said().startsWith('HTTP/1.1 200')).length
    while (answered() < 5) await new Promise(resolve => setTimeout(resolve, 10))
    expect(answered()).to.equal(5)
    process.kill(pid!, 'SIGKILL')
    await Promise.all(ends.map(({ ended }) => ended))
    expect(answered()).to.equal(5)
    // Its place is taken, and both serve.
    await gateway.child.line(/worker 1 serves again/)
    const clients = clientsOf(gateway.url, 8)
    const answers = await Promise.all(clients.map(client => client.push('x')))
    expect(new Set(answers.map(({ worker }) => worker)).size).to.equal(2)
    for (const client of clients) client.close()
  })

  it('workers 15: exits with 1 and the sum of what its processes have lost', async () => {
    const late = ['--brokers', '127.0.0.1:1', '--set', 'delivery.timeoutMs=200', '--set', 'shutdown.graceMs=500']
    const gateway = await Gateway.start(children, [...TWO, ...late])
    const clients = clientsOf(gateway.url, 8)
    const workers = await Promise.all(clients.map(client => client.push('lost', false)))
    expect(new Set(workers.map(({ worker }) => worker)).size).to.equal(2)
    for (const client of clients) client.close()
    const lost = 'castellan_delivery_lost_records_total'
    const sum = async (): Promise<number> =>
      (await metricsOf(gateway))
        .split('\n')
        .filter(line => line.startsWith(`${lost}{api="kprf",reason="timedOut"}`))
        .reduce((total, line) => total + Number(line.split(' ').at(-1)), 0)
    while ((await sum()) < 8) await new Promise(resolve => setTimeout(resolve, 50))
    expect(await gateway.child.stop()).to.equal(1)
    const farewell = gateway.child.lines.find(line => line.includes('all workers have stopped'))
    expect(JSON.parse(farewell!)).to.deep.include({ lostRecords: 8 })
  })

  it('workers 16: says what is known of the records of a process that was killed, and counts what it had lost', async () => {
    // Those of the second half have to wait until a process is killed.
    const flags = ['--brokers', '127.0.0.1:1', '--set', 'delivery.timeoutMs=15000']
    const gateway = await Gateway.start(children, [...TWO, ...flags, '--set', 'shutdown.graceMs=500'])
    const clients = clientsOf(gateway.url, 8)
    await Promise.all(clients.map(client => client.push('lost', false)))
    for (const client of clients) client.close()
    await gateway.child.line(/"worker":1,"records":\d+,"api":"kprf"/)
    await gateway.child.line(/"worker":2,"records":\d+,"api":"kprf"/)
    for (let index = 0; index < 8; index++) {
      // Each over a connection of its own, so that both workers get some.
      const headers = { 'content-type': 'text/plain', connection: 'close' }
      const url = `${gateway.url}/pixy/topics/orders/messages`
      expect((await fetch(url, { method: 'POST', headers, body: 'waits' })).status).to.equal(200)
    }
    const waiting = async (): Promise<number> =>
      sampleOf(await metricsOf(gateway), 'castellan_delivery_buffered_records') ?? 0
    while ((await waiting()) < 8) await new Promise(resolve => setTimeout(resolve, 50))
    // Each tells the first process four times in a second what it holds.
    await new Promise(resolve => setTimeout(resolve, 3_000))
    process.kill((await pidsOf(gateway))[0]!, 'SIGKILL')
    const [, known] = await gateway.child.line(
      /"waitingRecords":(\d+),.*worker 1 had \d+ records? in memory when it last reported, and it is not known/
    )
    expect(Number(known)).to.be.within(1, 7)
    expect(await gateway.child.stop()).to.equal(1)
    const farewell = gateway.child.lines.find(line => line.includes('all workers have stopped'))
    // All 8 that both had lost before, and those that waited in the other worker.
    const { lostRecords } = JSON.parse(farewell!) as { lostRecords: number }
    expect(lostRecords).to.be.within(9, 16 - Number(known))
  })

  it('workers 4: ends its processes with itself, however it ends', async () => {
    const gateway = await Gateway.start(children, TWO)
    const pids = await pidsOf(gateway)
    expect(pids.map(isAlive)).to.deep.equal([true, true])
    await gateway.child.stop('SIGKILL')
    while (pids.some(isAlive)) await new Promise(resolve => setTimeout(resolve, 20))
  })

  it('workers 5: says in one line that a port is taken, as one process does', async () => {
    const server = createServer()
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const child = children.start(['serve', '--port', String(port), '--management-port', '0', ...TWO])
    expect(await child.exit()).to.equal(1)
    expect(child.stderr).to.equal(
      `castellan serve: port ${port} on 127.0.0.1 is taken; choose another with --port (http.port) (0 means any free one)\n`
    )
    await new Promise(resolve => server.close(resolve))
  })

  it('workers 6: serves a unix socket with its mode, also after a restart', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'workers-')), 'gateway.sock')
    const gateway = await Gateway.start(children, [...TWO, '--unix-socket', path])
    await gateway.until(200)
    const mode = (): string => (statSync(path).mode & 0o777).toString(8)
    expect(mode()).to.equal('660')
    for (const pid of await pidsOf(gateway)) process.kill(pid, 'SIGKILL')
    for (const worker of [1, 2]) await gateway.child.line(new RegExp(`worker ${worker} serves again`))
    expect(mode()).to.equal('660')
    await new Promise<void>((resolve, reject) => {
      const socket = connect(path, () => {
        socket.destroy()
        resolve()
      })
      socket.on('error', reject)
    })
    expect(await gateway.child.stop()).to.equal(0)
  })

  it('workers 7: closes connections beyond the limit of each process', async () => {
    const gateway = await Gateway.start(children, [...TWO, '--set', 'http.maxConnections=2'])
    await gateway.until(200)
    const port = Number(new URL(gateway.url).port)
    let closed = 0
    const sockets = Array.from({ length: 10 }, () =>
      connect(port, '127.0.0.1')
        .on('close', () => closed++)
        .on('error', () => undefined)
    )
    while (closed < 6) await new Promise(resolve => setTimeout(resolve, 10))
    // The connection of the first question may still hold a place.
    expect(closed).to.be.within(6, 7)
    for (const socket of sockets) socket.destroy()
  })

  it('workers 8: delivers what workers have left that there are no more, and what one process has left', async () => {
    const [port] = await freePorts(1)
    const brokers = `127.0.0.1:${port}`
    const wal = mkdtempSync(join(tmpdir(), 'workers-'))
    const serve = (count: string): Promise<Gateway> =>
      Gateway.start(children, ['--workers', count, '--brokers', brokers, '--set', `wal.directory=${wal}`])
    const accepted: string[] = []
    const keep = async (gateway: Gateway, workers: number): Promise<void> => {
      const seen = new Set<string>()
      while (seen.size < workers) {
        const client = new Client(gateway.url)
        const value = `v${accepted.length}`
        const answer = await client.post(`/arion/async/orders/${value}`, { value })
        client.close()
        expect(answer.status, answer.text).to.equal(202)
        accepted.push(JSON.stringify({ value }))
        seen.add(answer.worker)
      }
      await gateway.child.stop(accepted.length % 2 === 0 ? 'SIGKILL' : 'SIGTERM')
    }
    await keep(await serve('3'), 3)
    await keep(await serve('1'), 1)
    expect(readdirSync(wal)).to.include.members(['worker-1', 'worker-2', 'worker-3'])

    const broker = children.start(['broker', '--port', String(port)])
    await broker.line(/^127\.0\.0\.1:\d+$/)
    const gateway = await serve('2')
    const there = async (): Promise<string[]> => {
      const reader = children.start(['read', 'orders', '--brokers', brokers])
      await reader.exit()
      return reader.lines
    }
    let found = await there()
    while (found.length < accepted.length) found = await there()
    expect(found.toSorted()).to.deep.equal(accepted.toSorted())
    await gateway.child.line(/"worker":1,.*wait in an orphaned durable log: .*worker-3/)
    expect(await gateway.child.stop()).to.equal(0)
  })

  it('workers 9: each process lets its share of a rate limit pass', async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'workers-')), 'castellan.yaml')
    const rules = '[{ topic: limited, maxPerMinute: 42 }]'
    writeFileSync(file, `apis: { kprf: { ratelimit: { enabled: true, rules: ${rules} } } }`)
    const gateway = await Gateway.start(children, [...TWO, '--config', file])
    await gateway.until(200)
    const clients = clientsOf(gateway.url, 8)
    const push = (client: Client, count: number): Promise<Answer> =>
      client.post('/kprf/push', {
        records: Array.from({ length: count }, () => ({ topic: 'limited', data: 'x' })),
        wait_for_send: true
      })
    const answers = await Promise.all(clients.flatMap(client => [push(client, 4), push(client, 3), push(client, 1)]))
    expect(new Set(answers.map(({ worker }) => worker)).size).to.equal(2)
    const passed = new Map<string, { asked: number; delivered: number }>()
    for (const [at, { worker, status, text }] of answers.entries()) {
      const asked = [4, 3, 1][at % 3]!
      const delivered = status === 200 ? asked : text.split('"error":false').length - 1
      const before = passed.get(worker) ?? { asked: 0, delivered: 0 }
      passed.set(worker, { asked: before.asked + asked, delivered: before.delivered + delivered })
    }
    for (const { asked, delivered } of passed.values()) expect(delivered).to.equal(Math.min(asked, 21))
    for (const client of clients) client.close()
  })

  it('workers 10: a consumer group is joined once, and acknowledged over any connection', async () => {
    const gateway = await Gateway.start(children, [...TWO, '--set', 'consumer.start=earliest'])
    await gateway.until(200)
    const clients = clientsOf(gateway.url, 8)
    const workers = await Promise.all(clients.map((client, at) => client.push(`m${at}`)))
    const byWorker = new Map(workers.map(({ worker }, at) => [worker, clients[at]!]))
    expect(byWorker.size).to.equal(2)
    const sides = [...byWorker.values()]
    for (const group of ['one', 'two', 'three', 'four']) {
      const got: string[] = []
      for (let n = 0; n < 8; n++) {
        const message = await sides[n % 2]!.get(`/pixy/topics/orders/messages?group=${group}&noAck`)
        expect(message.status, message.text).to.equal(200)
        const { value, partition, offset } = JSON.parse(message.text) as Record<string, string | number>
        got.push(Buffer.from(String(value), 'base64').toString())
        // By the other one than it was given to.
        const ack = `/pixy/topics/orders/acks?group=${group}&partition=${partition}&offset=${offset}`
        const acked = await sides[(n + 1) % 2]!.post(ack, {})
        expect(acked.status, acked.text).to.equal(200)
      }
      expect(got.toSorted(), group).to.deep.equal(clients.map((_, at) => `m${at}`))
    }
    const consumers = await sides[0]!.get('/pixy/topics/orders/consumers')
    const members = JSON.parse(consumers.text) as Record<string, Record<string, unknown>>
    expect(Object.values(members).map(group => Object.keys(group).length)).to.deep.equal([1, 1, 1, 1])
    for (const client of clients) client.close()
    expect(await gateway.child.stop()).to.equal(0)
  })

  it('workers 17: what a group has not read is the same from every process before its first commit', async () => {
    const gateway = await Gateway.start(children, TWO)
    await gateway.until(200)
    const clients = clientsOf(gateway.url, 8)
    // Each group has asked before the topic exists.
    const groups = ['one', 'two', 'three', 'four']
    await Promise.all(
      groups.map(async (group, at) => {
        const asked = await clients[at]!.get(`/pixy/topics/orders/messages?group=${group}`)
        expect(asked.status, asked.text).to.equal(408)
      })
    )
    const workers = await Promise.all(clients.map((client, at) => client.push(`m${at}`)))
    expect(new Set(workers.map(({ worker }) => worker)).size).to.equal(2)
    for (const group of groups) {
      const told = await Promise.all(clients.map(client => client.get(`/pixy/topics/orders/offsets?group=${group}`)))
      const lags = told.map(({ text }) =>
        (JSON.parse(text) as { lag: number }[]).reduce((sum, { lag }) => sum + lag, 0)
      )
      expect(lags, group).to.deep.equal(clients.map(() => clients.length))
    }
    for (const client of clients) client.close()
    expect(await gateway.child.stop()).to.equal(0)
  })

  it('workers 11: each process has its share of a quota of requests in flight', async () => {
    const gateway = await Gateway.start(children, [...TWO, '--set', 'quotas.perPrincipal.maxRequestsInFlight=4'])
    await gateway.until(200)
    const clients = clientsOf(gateway.url, 10)
    const pushed = await clients[0]!.push('m')
    expect(pushed.status).to.equal(200)
    // Each waits some seconds for a message.
    const polls = clients.map(client => client.get('/pixy/topics/orders/messages?group=g'))
    const answers = await Promise.all(polls)
    const statuses = answers.map(({ status }) => status).toSorted()
    expect(statuses).to.deep.equal([...new Array(4).fill(408), ...new Array(6).fill(429)])
    expect(new Set(answers.map(({ worker }) => worker)).size).to.equal(2)
    expect((await clients[0]!.push('m')).status).to.equal(200)
    for (const client of clients) client.close()
  })

  it('workers 12: statistics of an API are those of all processes, whichever is asked', async () => {
    const datagrams: string[] = []
    const statsd = createSocket('udp4').on('message', message => datagrams.push(message.toString()))
    await new Promise<void>(resolve => statsd.bind(0, '127.0.0.1', resolve))
    const gateway = await Gateway.start(children, [
      ...TWO,
      ...['apis.arion.durability=memory', 'apis.kprf.metricsPort=0', 'statsd.host=127.0.0.1'].flatMap(setting => [
        '--set',
        setting
      ]),
      ...['--set', `statsd.port=${statsd.address().port}`]
    ])
    await gateway.until(200)
    const clients = clientsOf(gateway.url, 8)
    const answers = await Promise.all(clients.map((client, at) => client.post(`/arion/sync/orders/k${at}`, { at })))
    expect(answers.map(({ status }) => status)).to.deep.equal(new Array(8).fill(201))
    expect(new Set(answers.map(({ worker }) => worker)).size).to.equal(2)
    await Promise.all(clients.map(client => client.push('x')))
    for (const client of clients) {
      const { queue, kafka } = JSON.parse((await client.get('/arion/stats')).text) as Record<
        string,
        Record<string, number>
      >
      expect(queue).to.deep.include({ enqueued: 8, completed: 8 })
      expect(kafka!['connection-count']).to.equal(1)
    }
    const [, metrics] = await gateway.child.line(/kprf metrics: (http:\/\/[0-9.:]+)/)
    const text = await (await fetch(`${metrics}/metrics`)).text()
    expect(sampleOf(text, 'kafka_sent_messages{topic="orders"}')).to.equal(8)
    const told = (line: RegExp): boolean => datagrams.some(datagram => line.test(datagram))
    while (!told(/^arion\.api\.success\.count:1[0-9]\|g$/m)) await new Promise(resolve => setTimeout(resolve, 20))
    while (!told(/^arion\.queue\.enqueued:8\|g$/m)) await new Promise(resolve => setTimeout(resolve, 20))
    while (!told(/^castellan\.workers_up:2\|g$/m)) await new Promise(resolve => setTimeout(resolve, 20))
    expect(told(/^arion\.queue\.enqueued:16\|g$/m)).to.equal(false)
    statsd.close()
    for (const client of clients) client.close()
  })

  it('workers 13: starts again at once after it was killed, while its former processes still write', async () => {
    const [port] = await freePorts(1)
    const wal = mkdtempSync(join(tmpdir(), 'workers-'))
    const flags = ['--workers', '2', '--brokers', `127.0.0.1:${port}`, '--set', `wal.directory=${wal}`]
    const first = await Gateway.start(children, flags)
    const seen = new Set<string>()
    for (let n = 0; seen.size < 2; n++) {
      const client = new Client(first.url)
      const answer = await client.post('/arion/async/orders/k', { n })
      expect(answer.status, answer.text).to.equal(202)
      seen.add(answer.worker)
      client.close()
    }
    // This record is in memory only: its worker tries to write it until its time is over.
    const client = new Client(first.url)
    expect((await client.push('held', false)).status).to.equal(200)
    client.close()
    const pids = await pidsOf(first)
    await first.child.stop('SIGKILL')
    const second = await Gateway.start(children, flags)
    expect(pids.filter(isAlive)).to.deep.equal([])
    expect(await second.child.stop()).to.equal(0)
  })

  it('workers 15: keeps records in a directory with a long path, which each worker has for itself', async () => {
    const wal = join(mkdtempSync(join(tmpdir(), 'workers-')), 'x'.repeat(60), 'y'.repeat(60))
    const [port] = await freePorts(1)
    const flags = ['--workers', '2', '--brokers', `127.0.0.1:${port}`, '--set', `wal.directory=${wal}`]
    const gateway = await Gateway.start(children, flags)
    const seen = new Set<string>()
    for (let n = 0; seen.size < 2; n++) {
      const client = new Client(gateway.url)
      const answer = await client.post('/arion/async/orders/k', { n })
      expect(answer.status, answer.text).to.equal(202)
      seen.add(answer.worker)
      client.close()
    }
    expect([1, 2].map(number => readdirSync(join(wal, `worker-${number}`)).includes('LOCK'))).to.deep.equal([
      true,
      true
    ])
    await gateway.child.stop()
  })
})
