import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, createServer as createSilent } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import type { DoctorFinding } from '../../../src/cli/doctor/findings.js'
import { apiNames } from '../../../src/embedded-broker/embedded-cluster.js'
import { lockLog } from '../../../src/producer/log/log-lock.js'
import { type EmbeddedCluster, startEmbeddedCluster } from '../../../src/testing.js'
import { type Outcome, runCommand } from '../run-command.js'

describe('castellan doctor', function () {
  this.timeout(60_000)
  let cluster: EmbeddedCluster
  beforeEach(async () => {
    cluster = await startEmbeddedCluster({ nodes: 2, defaultPartitions: 1 })
    cluster.createTopic('orders')
  })
  afterEach(() => cluster.close())

  const doctor = (...words: readonly string[]): Promise<Outcome> =>
    runCommand(['doctor', ...words, '--brokers', cluster.bootstrap])
  const findings = ({ stdout }: Outcome): Map<string, DoctorFinding> =>
    new Map(
      stdout
        .trim()
        .split('\n')
        .map(line => JSON.parse(line) as DoctorFinding)
        .map(finding => [finding.about, finding])
    )

  it('tells what works, and makes only calls that change nothing', async () => {
    const outcome = await doctor('--topic', 'orders', '--group', 'billing', '--json')
    expect([outcome.code, outcome.stderr]).to.deep.equal([0, ''])
    const works = [...findings(outcome).values()].filter(({ outcome }) => outcome === 'works')
    expect(works.map(({ about }) => about)).to.include.members([
      'connect',
      'write',
      'read',
      'groups',
      'lists',
      'queues'
    ])
    const made = apiNames.filter(api => cluster.requestCount(api) > 0)
    expect(made).to.have.members([
      ...['ApiVersions', 'DescribeConfigs', 'DescribeGroups', 'DescribeShareGroupOffsets', 'FindCoordinator'],
      ...['InitProducerId', 'Metadata', 'OffsetFetch']
    ])
    expect(cluster.highWatermark('orders', 0)).to.equal(0)
  })

  it('names the rights that are missing, and how to grant them', async () => {
    cluster.faults.add({ api: 'InitProducerId', count: 9 }, { type: 'error', errorCode: 31 })
    cluster.faults.add({ api: 'DescribeConfigs', count: 9 }, { type: 'error', errorCode: 31 })
    cluster.faults.add({ api: 'FindCoordinator', count: 9 }, { type: 'error', errorCode: 30 })
    const { code, stdout } = await doctor('--topic', 'orders', '--group', 'billing')
    expect(code).to.equal(1)
    expect(stdout).to.match(/^write +needs IdempotentWrite on Cluster$/m)
    expect(stdout).to.match(/^findLostAnswers +needs DescribeConfigs on Cluster$/m)
    expect(stdout).to.match(/^groups +needs Read on Group billing$/m)
    expect(stdout).to.match(/^read +works$/m)
    const add = `kafka-acls.sh --bootstrap-server ${cluster.bootstrap} --add --allow-principal User:NAME`
    expect(stdout.split('To grant what is missing:\n')[1]!.split('\n')).to.deep.equal([
      `${add} --operation IdempotentWrite --operation DescribeConfigs --cluster`,
      `${add} --operation DescribeConfigs --topic orders`,
      `${add} --operation Read --operation Describe --group billing`,
      ''
    ])
  })

  it('cannot tell what a lost connection would have told, and knows what the broker offers', async () => {
    cluster.faults.add({ api: 'InitProducerId', count: 9 }, { type: 'close', afterWork: false })
    const outcome = await doctor('--topic', 'orders', '--group', 'billing', '--json')
    const all = findings(outcome)
    expect([...all.values()].filter(({ outcome }) => outcome === 'lacks')).to.deep.equal([])
    expect([outcome.code, all.get('write')!.outcome, all.get('read')!.outcome]).to.deep.equal([
      0,
      'cannot tell',
      'works'
    ])
  })

  it('writes no control characters of a name to the terminal', async () => {
    cluster.faults.add({ api: 'FindCoordinator', count: 9 }, { type: 'error', errorCode: 30 })
    const group = 'a\u009b2J\u202eb'
    const outcome = await doctor('--group', group, '--json')
    expect(outcome.stdout)
      .to.include(String.raw`a\u009b2J\u202eb`)
      .and.not.match(/[\u009b\u202e]/)
    expect(findings(outcome).get('groups')!.grants[0]!.name).to.equal(group)
    const { stdout } = await doctor('--group', group)
    expect(stdout)
      .to.include(String.raw`--group $'a\u009b2J\u202eb'`)
      .and.not.match(/[\u009b\u202e]/)
  })

  it('exits with 0 where only a right is missing that no setting asks for', async () => {
    cluster.faults.add({ api: 'DescribeConfigs', count: 9 }, { type: 'error', errorCode: 29 })
    expect((await doctor('--topic', 'orders')).code).to.equal(0)
  })

  it('asks again while a coordinator is not there yet', async () => {
    cluster.faults.add({ api: 'FindCoordinator', count: 2 }, { type: 'error', errorCode: 15 })
    const outcome = await doctor('--group', 'billing', '--json')
    expect(findings(outcome).get('lists')!.detail).to.equal('Describe on Topic: name one by --topic')
    expect(cluster.requestCount('FindCoordinator')).to.equal(3)
  })

  it('exits with 1 where the configuration names what this Kafka does not do', async () => {
    await cluster.close()
    cluster = await startEmbeddedCluster({ autoCreateTopics: false })
    cluster.createTopic('orders')
    const plain = await doctor('--topic', 'orders')
    expect(plain.stdout).to.match(/^createByWriting +this Kafka lacks auto\.create\.topics\.enable$/m)
    expect(plain.code).to.equal(0)
    expect((await doctor('--topic', 'orders', '--set', 'delivery.createTopics=true')).code).to.equal(1)
  })

  it('writes a record and reads it back, and tells the clock by the time that a broker gave the record', async () => {
    const { code, stdout, stderr } = await doctor('--write', 'orders')
    expect([code, stderr]).to.deep.equal([0, ''])
    expect(stdout).to.match(/^record +works written to orders\/0 at offset 0, and read back$/m)
    expect(stdout).to.match(/^clock +cannot tell: brokers do not give records of orders their own time$/m)
    cluster.createTopic('timed', { config: { 'message.timestamp.type': 'LogAppendTime' } })
    expect((await doctor('--write', 'timed')).stdout).to.match(/^clock +works -?\d+ ms ahead of the brokers$/m)
  })

  it('exits with 1 where the record cannot be written', async () => {
    cluster.faults.add({ api: 'Produce', count: Number.POSITIVE_INFINITY }, { type: 'error', errorCode: 29 })
    const { code, stdout } = await doctor('--write', 'orders')
    expect(code).to.equal(1)
    expect(stdout).to.match(/^record +needs to be written to orders: /m)
  })

  it('asks the second broker where the first one is silent', async () => {
    const silent = createSilent(socket => socket.on('error', () => undefined))
    await new Promise<void>(done => silent.listen(0, '127.0.0.1', done))
    const brokers = `127.0.0.1:${(silent.address() as AddressInfo).port},${cluster.bootstrap.split(',')[0]}`
    const { code, stdout, stderr } = await runCommand([
      'doctor',
      '--timeout',
      '2',
      '--brokers',
      brokers,
      '--topic',
      'orders'
    ])
    silent.close()
    expect([code, stderr]).to.deep.equal([0, ''])
    expect(stdout).to.match(/^connect +works$/m)
  })

  it('exits with 1 where no broker answers, and with 2 where the command line is wrong', async () => {
    expect((await doctor('--topic', 'a b')).code).to.equal(2)
    const { bootstrap } = cluster
    await cluster.close()
    const { code, stderr } = await runCommand(['doctor', '--brokers', bootstrap])
    expect(code).to.equal(1)
    expect(stderr).to.include('ECONNREFUSED')
  })

  describe('beside Kafka', () => {
    let folder: string
    let registry: Server
    let registryUrl: string
    before(async () => {
      folder = mkdtempSync(join(tmpdir(), 'castellan-doctor-'))
      registry = createServer((_, answer) => answer.end('[]'))
      await new Promise<void>(done => registry.listen(0, '127.0.0.1', done))
      registryUrl = `http://127.0.0.1:${(registry.address() as AddressInfo).port}`
    })
    after(async () => {
      await new Promise(done => registry.close(done))
      rmSync(folder, { recursive: true })
    })
    const withConfig = (text: string): Promise<Outcome> => {
      const file = join(folder, 'castellan.yaml')
      writeFileSync(file, text)
      return doctor('--config', file)
    }

    it('tells the process that uses the durable log', async () => {
      const directory = join(folder, 'wal')
      const lock = await lockLog(directory, () => undefined)
      const { code, stdout } = await withConfig(`wal: { directory: '${directory}' }`)
      lock.release()
      expect(code).to.equal(0)
      expect(stdout).to.match(new RegExp(`^durable log +works ${directory} is used by process ${process.pid}$`, 'm'))
    })

    it('tells that the directory of the durable log cannot be made here, and exits with 0, as gateways may be elsewhere', async () => {
      const { code, stdout } = await withConfig(`wal: { directory: '/proc/castellan/wal' }`)
      expect(code).to.equal(0)
      expect(stdout).to.match(
        /^durable log +cannot tell: .*\/proc\/castellan\/wal.*no directory can be made in \/proc/m
      )
    })

    it('tells whether the registry and other gateways answer, and exits with 0 where they do not', async () => {
      const [host, port] = new URL(registryUrl).host.split(':')
      const { code, stdout } = await withConfig(
        `schemas: { registry: { urls: ['${registryUrl}', 'http://127.0.0.1:1'] } }
peers: { addresses: ['${host}:${port}', '127.0.0.1:1'] }`
      )
      expect(code).to.equal(0)
      expect(stdout).to.match(new RegExp(`^registry ${registryUrl} works status 200$`, 'm'))
      expect(stdout).to.match(/^registry http:\/\/127.0.0.1:1 cannot tell: .*ECONNREFUSED/m)
      expect(stdout).to.match(new RegExp(`^gateway ${host}:${port} works$`, 'm'))
      expect(stdout).to.match(/^gateway 127.0.0.1:1 +cannot tell: .*ECONNREFUSED/m)
    })

    it('tells the file of the registry that cannot be read, beside all that Kafka grants', async () => {
      const { code, stdout, stderr } = await withConfig(
        `schemas: { registry: { urls: ['${registryUrl}'], caFile: '${folder}/none.pem' } }`
      )
      expect([code, stderr]).to.deep.equal([1, ''])
      expect(stdout).to.match(/^registry +needs schemas\.registry\.caFile: cannot read .*ENOENT/m)
      expect(stdout).to.match(/^connect +cannot tell: Describe on Topic: name one by --topic$/m)
    })

    it('exits with 1 where a certificate cannot be read', async () => {
      const { code, stdout } = await withConfig(`http: { tls: { certFile: '${folder}/none.pem', keyFile: x } }`)
      expect(stdout).to.match(/^certificate http\.tls needs .*ENOENT/m)
      expect(code).to.equal(1)
    })
  })
})
