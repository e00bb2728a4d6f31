import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { RawSocket } from '../support/raw-socket.js'
import { Children, Gateway } from './child.js'

/** Whole processes, as a user starts them. */
describe('castellan as a process', function () {
  this.timeout(240_000)
  const children = new Children()
  afterEach(() => children.stopAll())

  /** kprf's two seconds are little on a machine that runs other tests as well. */
  const patient = ['--set', 'apis.kprf.messageTimeoutMs=10000']
  const order = (key: string, data: string) => ({ topic: 'orders', key, data })
  const read = (...args: string[]) => children.start(['read', ...args])
  async function untilInFlight({ management }: Gateway, bytes: number): Promise<void> {
    const metrics = async () => (await fetch(`${management}/metrics`)).text()
    while (!(await metrics()).includes(`castellan_http_bodies_in_flight_bytes ${bytes}\n`)) await sleep(50)
  }

  it('takes a record over HTTP, and read prints it', async () => {
    const gateway = await Gateway.start(children, ['--embedded-port', '0', ...patient])
    expect(gateway.child.lines[0]).to.match(
      /embedded broker on 127\.0\.0\.1:\d+ \(no brokers are configured; --brokers/
    )
    const [, curl] = await gateway.child.line(/"try: (curl .*)"\}$/)
    expect(JSON.parse(`"${curl}"`)).to.equal(
      `curl -i ${gateway.url}/kprf/push -H 'content-type: application/json' -d '{"records":[{"topic":"orders","key":"k1","data":"hello"}],"wait_for_send":true}'`
    )
    const [, brokers] = await gateway.child.line(/castellan read orders --brokers ([0-9.:]+)/)

    const response = await gateway.push({ records: [order('k1', 'hello')], wait_for_send: true })
    expect([response.status, await response.text()]).to.deep.equal([200, '{"status":"ok","errors":[]}'])
    const async = await gateway.push({ records: [order('k1', 'again'), order('k1', 'and again')] })
    expect(async.status).to.equal(200)

    const follower = read('orders', '--brokers', brokers!, '--follow', '--count', '3')
    expect(await follower.exit()).to.equal(0)
    expect([follower.lines, follower.stderr]).to.deep.equal([['hello', 'again', 'and again'], ''])

    const json = read('orders', '--brokers', brokers!, '--from', '-1', '--format', 'json')
    expect(await json.exit()).to.equal(0)
    expect(json.lines.map(line => JSON.parse(line) as object)).to.have.length(1)
    expect(JSON.parse(json.lines[0]!)).to.deep.include({ topic: 'orders', offset: 2, key: 'k1', value: 'and again' })

    const topics = children.start(['topics', '--brokers', brokers!])
    expect(await topics.exit()).to.equal(0)
    expect(topics.lines).to.deep.equal(['TOPIC   PARTITIONS  REPLICAS', 'orders           4         1'])

    const health = (await (await fetch(`${gateway.management}/health-check`)).json()) as object
    expect(health).to.deep.include({ status: 'ok', broker: 'embedded' })
    const metrics = await (await fetch(`${gateway.management}/metrics`)).text()
    expect(metrics).to.contain('castellan_http_requests_total{api="kprf",method="POST",status="200"} 2\n')
    expect(await gateway.child.stop()).to.equal(0)
    expect(gateway.child.stderr).to.equal('')
    expect(gateway.child.lines.at(-1)).to.contain('"msg":"stopped"')
  })

  it('read says in a line that a topic or a broker is not there', async () => {
    const broker = children.start(['broker', '--port', '0'])
    const [brokers] = await broker.line(/^127\.0\.0\.1:\d+$/)
    const unknown = read('nope', '--brokers', brokers)
    expect(await unknown.exit()).to.equal(1)
    expect(unknown.stderr).to.equal(
      `castellan read: topic nope does not exist at ${brokers}; castellan topics lists and creates topics\n`
    )
    expect(await broker.stop()).to.equal(0)

    const away = read('orders', '--brokers', brokers, '--timeout', '1')
    expect(await away.exit()).to.equal(1)
    expect(away.stderr).to.match(
      new RegExp(`^castellan read: no connection to ${brokers}: connection refused; is a broker running there.*\n$`)
    )
    expect(away.lines).to.deep.equal([])
  })

  it('read ends quietly when its output is closed, and when it is stopped', async () => {
    const gateway = await Gateway.start(children, ['--embedded-port', '0', ...patient])
    const [, brokers] = await gateway.child.line(/castellan read orders --brokers ([0-9.:]+)/)
    const many = Array.from({ length: 1_000 }, (_, i) => order('k', `${i}`.padEnd(500)))
    expect((await gateway.push({ records: many, wait_for_send: true })).status).to.equal(200)

    const cut = read('orders', '--brokers', brokers!, '--follow')
    await cut.line(/^0 /)
    cut.process.stdout!.destroy()
    expect((await gateway.push({ records: many, wait_for_send: true })).status).to.equal(200)
    expect([await cut.exit(), cut.stderr]).to.deep.equal([1, ''])

    const stopped = read('orders', '--brokers', brokers!, '--follow')
    await stopped.line(/^0 /)
    expect([await stopped.stop('SIGINT'), stopped.stderr]).to.deep.equal([0, ''])
  })

  it('starts without Kafka, says so once, and goes on when Kafka appears', async () => {
    const first = children.start(['broker', '--port', '0'])
    const [brokers] = await first.line(/^127\.0\.0\.1:\d+$/)
    await first.stop()

    const gateway = await Gateway.start(children, ['--brokers', brokers, '--set', 'apis.kprf.messageTimeoutMs=10000'])
    expect(gateway.child.lines[0]).to.contain(`kafka at ${brokers}`)
    const unready = await gateway.until(503)
    expect(((await unready.json()) as { reasons: string[] }).reasons.join()).to.match(
      /^no broker of cluster default answers(: connection refused)?$/
    )
    expect((await fetch(`${gateway.management}/health-check`)).status).to.equal(200)
    const failed = await gateway.push({ records: [order('k', 'lost')], wait_for_send: true })
    expect([failed.status, ((await failed.json()) as { status: string }).status]).to.deep.equal([500, 'err'])
    // The reason stands in the same line, unless the first connection took longer than the gateway waits with the line.
    await gateway.child.line(/no broker of cluster default answers.*; trying again/)
    await gateway.child.line(/connection refused/)

    children.start(['broker', '--port', brokers.split(':')[1]!])
    await gateway.until(200)
    expect((await gateway.push({ records: [order('k', 'there')], wait_for_send: true })).status).to.equal(200)
    expect(gateway.child.lines.filter(line => line.includes('no broker of cluster default answers'))).to.have.length(1)
    expect(await gateway.child.stop()).to.equal(0)
  })

  it('exits with 1 and a count when records in memory are lost', async () => {
    const gateway = await Gateway.start(children, ['--brokers', '127.0.0.1:1', '--set', 'shutdown.graceMs=500'])
    const accepted = await gateway.push({ records: [order('k', 'a'), order('k', 'b'), order('k', 'c')] })
    expect(accepted.status).to.equal(200)
    expect(await gateway.child.stop()).to.equal(1)
    await gateway.child.line(/"lostRecords":3,.*3 records that were in memory only are lost/)
  })

  it('exits with 1 when accepted records were lost long before the end', async () => {
    const late = ['--set', 'delivery.timeoutMs=200', '--set', 'shutdown.graceMs=500']
    const gateway = await Gateway.start(children, ['--brokers', '127.0.0.1:1', ...late])
    expect((await gateway.push({ records: [order('k', 'a'), order('k', 'b')] })).status).to.equal(200)
    await gateway.child.line(
      /"records":2,"api":"kprf","reason":"timedOut","topic":"orders".*2 records that kprf had accepted are lost/
    )
    expect(await gateway.child.stop()).to.equal(1)
    await gateway.child.line(/"lostRecords":2,.*stopped/)
  })

  it('delivers what it has accepted before it ends', async () => {
    const broker = children.start(['broker', '--port', '0'])
    const [brokers] = await broker.line(/^127\.0\.0\.1:\d+$/)
    const gateway = await Gateway.start(children, ['--brokers', brokers])
    const records = Array.from({ length: 500 }, (_, i) => order('k', `${i}`))
    expect((await gateway.push({ records })).status).to.equal(200)
    expect(await gateway.child.stop()).to.equal(0)
    const reader = read('orders', '--brokers', brokers)
    expect(await reader.exit()).to.equal(0)
    expect(reader.lines).to.deep.equal(records.map(({ data }) => data))
  })

  it('ends at once with the second signal', async () => {
    const gateway = await Gateway.start(children, ['--embedded-port', '0', '--set', 'shutdown.graceMs=600000'])
    const { hostname, port } = new URL(gateway.url)
    const client = connect(Number(port), hostname)
    client.on('error', () => undefined)
    client.write('POST /kprf/push HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf')
    await untilInFlight(gateway, 4)
    gateway.child.process.kill('SIGTERM')
    await gateway.child.line(/"msg":"stopping"/)
    expect((await gateway.until(503)).status).to.equal(503)
    const again = setInterval(() => gateway.child.process.kill('SIGTERM'), 100)
    expect(await gateway.child.exit()).to.equal(143)
    clearInterval(again)
    client.destroy()
  })

  for (const [kind, statement] of [
    ['an error nobody caught', "throw new Error('made up')"],
    ['a rejection nobody handled', "Promise.reject(new Error('made up'))"]
  ] as const) {
    it(`after ${kind} it answers open requests, writes its records, and exits with 1`, async () => {
      const bug = `data:text/javascript,process.on('SIGUSR2',()=>{${encodeURIComponent(statement)}})`
      const environment = { NODE_OPTIONS: `--import="${bug}"` }
      const gateway = await Gateway.start(children, ['--embedded-port', '0', ...patient], environment)
      const socket = await RawSocket.open(gateway.url)
      const body = JSON.stringify({ records: [order('k', 'begun before the bug')], wait_for_send: true })
      await socket.send(
        `POST /kprf/push HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 5)}`
      )
      await untilInFlight(gateway, 5)
      gateway.child.process.kill('SIGUSR2')
      const [line] = await gateway.child.line(/.*cannot recover from an error.*/)
      expect(JSON.parse(line).err).to.deep.include({ message: 'made up' })
      expect(line).to.contain('"level":"error"').and.to.contain('"stack"')
      expect((await gateway.until(503)).status).to.equal(503)
      await socket.send(body.slice(5))
      expect(await socket.untilClosed()).to.match(/^HTTP\/1\.1 200 /)
      expect(await gateway.child.exit()).to.equal(1)
      expect(gateway.child.lines.at(-1)).to.contain('"msg":"stopped"')
    })
  }

  it('keeps the records of the embedded broker in a directory', async () => {
    const directory = mkdtempSync(`${tmpdir()}/castellan-embedded-`)
    try {
      const first = await Gateway.start(children, ['--embedded-port', '0', '--embedded-dir', directory, ...patient])
      expect(first.child.lines[0]).to.contain(`records in ${directory}`)
      expect((await first.push({ records: [order('k', 'kept')], wait_for_send: true })).status).to.equal(200)
      expect(await first.child.stop()).to.equal(0)
      const second = await Gateway.start(children, ['--embedded-port', '0', '--embedded-dir', directory, ...patient])
      const [, brokers] = await second.child.line(/castellan read orders --brokers ([0-9.:]+)/)
      const reader = read('orders', '--brokers', brokers!)
      expect(await reader.exit()).to.equal(0)
      expect(reader.lines).to.deep.equal(['kept'])
    } finally {
      await children.stopAll()
      rmSync(directory, { recursive: true })
    }
  })
})
