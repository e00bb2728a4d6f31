import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { Kafka, logLevel } from 'kafkajs'
import { brief, PixyClient } from '../apis/kafka-pixy/stage.js'
import { type Child, Children } from './child.js'

const FLAGS = ['--embedded', '--embedded-port', '0', '--management-port', 'off']
const text = (base64: string): string => Buffer.from(base64, 'base64').toString()

/** Kafka-Pixy's own file against the command that takes its place: its HTTP tests, over TCP and over the unix socket. */
describe('castellan kafka-pixy', function () {
  this.timeout(120_000)
  const children = new Children()
  let folder: string
  let child: Child
  const clients = new Map<string, PixyClient>()
  const file = (name: string): string => join(folder, name)

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'castellan-pixy-'))
    writeFileSync(
      file('pixy.yaml'),
      `tcp_addr: 127.0.0.1:0\ngrpc_addr: 127.0.0.1:0\nunix_addr: ${file('pixy.sock')}\nproxies:\n  main:\n    client_id: pixy-1\n` +
        '    kafka: { seed_peers: ["127.0.0.1:9092"], version: 2.3.0 }\n    zoo_keeper: { seed_peers: ["127.0.0.1:2181"] }\n' +
        '    consumer: { long_polling_timeout: 5s, offsets_commit_interval: 50ms, subscription_timeout: 15s }\n'
    )
    child = children.start(['kafka-pixy', '--config', file('pixy.yaml'), '--pidFile', file('pid'), ...FLAGS])
    const [, bootstrap] = await child.line(/embedded broker on ([\d.:]+)/)
    const [, port] = await child.line(/kafka-pixy API on its own port: http:\/\/127\.0\.0\.1:(\d+)/)
    await child.line(/zoo_keeper\.seed_peers has no effect/)
    clients.set('TCP', new PixyClient({ port: Number(port), prefix: '' }))
    clients.set('a unix socket', new PixyClient({ socketPath: file('pixy.sock'), prefix: '' }))
    const admin = new Kafka({ brokers: [bootstrap!], logLevel: logLevel.NOTHING }).admin()
    await admin.createTopics({
      topics: [...clients.keys()].map((_, at) => ({ topic: `test.${at}`, numPartitions: 4 }))
    })
    await admin.disconnect()
  })
  after(async () => {
    for (const client of clients.values()) client.close()
    await children.stopAll()
    rmSync(folder, { recursive: true, force: true })
  })

  for (const [at, place] of ['TCP', 'a unix socket'].entries()) {
    describe(`over ${place}`, () => {
      const topic = `test.${at}`
      const group = `group-${at}`
      const client = (): PixyClient => clients.get(place)!
      const get = async (path: string) => brief(await client().get(path))
      const produce = async (query: string, message: string, headers = {}) =>
        brief(await client().produce(`/topics/${topic}/messages?${query}`, message, headers))

      it('pixy H41 H51: ping is answered, and to GET only', async () => {
        expect([await get('/_ping'), brief(await client().post('/_ping', ''))]).to.deep.equal(['200 pong', '405'])
      })

      it('pixy H17 H18 H25 H33: requests name one group, and are told of groups that there are not', async () => {
        expect(await get(`/topics/${topic}/messages`)).to.include('one consumer group is expected, but 0 provided')
        expect(await get(`/topics/${topic}/messages?group=a&group=b`)).to.include('but 2 provided')
        const offsets = JSON.parse((await client().get(`/topics/${topic}/offsets?group=never`)).body) as object[]
        expect(offsets).to.have.length(4)
        expect(await get(`/topics/${topic}/consumers?group=foo`)).to.equal('400 {"error":"unknown consumer group foo"}')
      })

      it('pixy H6 H7 H8 H10 H15 H20 H22 H24 H34 H42: what is produced is consumed', async () => {
        // Pins the group at the end.
        expect(await get(`/topics/${topic}/messages?group=${group}`)).to.equal('408 {"error":"long polling timeout"}')
        expect(await get(`/topics/${topic}/consumers?group=${group}`)).to.equal(`200 {"${group}":{"pixy-1":[0,1,2,3]}}`)
        expect(await produce('key=foo&sync', 'Превед', { 'X-Kafka-Foo': 'YmFy' })).to.equal(
          '200 {"partition":1,"offset":0}'
        )
        expect(await produce('sync', 'm', { 'X-Kafka-Foo': 'bar!' })).to.match(/^400 .*Invalid base64 encoding/)
        const form = { 'content-type': 'application/x-www-form-urlencoded' }
        const named = await client().post(`/clusters/main/topics/${topic}/messages?key=foo&sync`, 'msg=second', form)
        expect(brief(named)).to.equal('200 {"partition":1,"offset":1}')
        const first = JSON.parse((await client().get(`/topics/${topic}/messages?group=${group}&noAck`)).body)
        expect([text(first.key), text(first.value), first.offset]).to.deep.equal(['foo', 'Превед', 0])
        expect(first.headers).to.deep.equal([{ key: 'Foo', value: 'YmFy' }])
        const acked = `group=${group}&ackPartition=1&ackOffset=0`
        const second = JSON.parse((await client().get(`/topics/${topic}/messages?${acked}`)).body)
        expect([text(second.value), second.offset, second.headers]).to.deep.equal(['second', 1, []])
        expect(brief(await client().post(`/topics/${topic}/acks?group=${group}&partition=1&offset=1`))).to.equal(
          '200 {}'
        )
        const committed = async () =>
          (JSON.parse((await client().get(`/topics/${topic}/offsets?group=${group}`)).body) as { offset: number }[])[1]!
        while ((await committed()).offset !== 2);
      })

      it('pixy H13: the largest message is taken, and one with a byte more is not', async () => {
        expect(await produce('key=foo&sync', 'x'.repeat(999_961))).to.equal('200 {"partition":1,"offset":2}')
        expect(await produce('key=foo&sync', 'x'.repeat(999_962))).to.match(/^500 .*Message was too large/)
      })

      it('pixy H27 H38: offsets that were set and the partitions of topics are told', async () => {
        const set = await client().post(`/topics/${topic}/offsets?group=set-${at}`, '[{"partition":3,"offset":5}]')
        expect(brief(set)).to.equal('200 {}')
        const [, , , last] = JSON.parse((await client().get(`/topics/${topic}/offsets?group=set-${at}`)).body)
        expect([last.partition, last.offset, last.lag]).to.deep.equal([3, 5, -5])
        const topics = JSON.parse((await client().get('/topics?withPartitions=true')).body)
        expect(topics[topic].partitions).to.have.length(4)
      })
    })
  }

  // Nested tests come after those beside them.
  describe('at the end', () => {
    it('pixy H1: a directory in the place of the unix socket keeps the process from starting', async () => {
      mkdirSync(file('directory'))
      const failed = children.start([
        'kafka-pixy',
        '--tcpAddr',
        '127.0.0.1:0',
        '--grpcAddr',
        '127.0.0.1:0',
        '--unixAddr',
        file('directory'),
        ...FLAGS
      ])
      expect(await failed.exit()).to.not.equal(0)
      expect(failed.lines.join('\n') + failed.stderr).to.include(file('directory'))
    })

    const started = async (unixAddr: string, pidFile: string): Promise<string> => {
      const places = ['--tcpAddr', '127.0.0.1:0', '--grpcAddr', '127.0.0.1:0', '--unixAddr', file(unixAddr)]
      const failed = children.start(['kafka-pixy', ...places, '--pidFile', file(pidFile), ...FLAGS])
      expect(await failed.exit()).to.not.equal(0)
      return failed.lines.join('\n') + failed.stderr
    }

    it('pixy H12: a second process on the same socket leaves the pid file of the first one', async () => {
      expect(await started('pixy.sock', 'pid')).to.include('another process listens on')
      expect(readFileSync(file('pid'), 'utf8')).to.equal(String(child.process.pid))
    })

    it('pixy H12: a link in the place of the pid file is not followed', async () => {
      writeFileSync(file('precious'), 'precious')
      symlinkSync(file('precious'), file('link'))
      expect(await started('other.sock', 'link')).to.include('service.pidFile: cannot write')
      expect(readFileSync(file('precious'), 'utf8')).to.equal('precious')
    })

    it('pixy H12 H54 H44: after a stop the socket is gone, and the pid file is left', async () => {
      expect(readFileSync(file('pid'), 'utf8')).to.equal(String(child.process.pid))
      expect((statSync(file('pixy.sock')).mode & 0o777).toString(8)).to.equal('660')
      expect(await child.stop()).to.equal(0)
      expect([existsSync(file('pixy.sock')), existsSync(file('pid'))]).to.deep.equal([false, true])
    })
  })
})
