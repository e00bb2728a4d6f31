import { expect } from 'chai'
import { type Key, type Keys, Noted, Unusable } from '../../../src/apis/command.js'
import { kafkaPixy } from '../../../src/apis/kafka-pixy/api.js'
import { CLUSTER_KEYS, PROCESS_KEYS, toAddress } from '../../../src/apis/kafka-pixy/compat/keys.js'
import { kafkaPixySettings } from '../../../src/apis/kafka-pixy/settings.js'

describe('pixy: where it listens by itself', () => {
  const listenersOf = (settings: object) =>
    kafkaPixy.listeners!(kafkaPixySettings.parse(settings), { host: '127.0.0.1' })
  const hostsOf = (settings: object) => kafkaPixy.hosts!(kafkaPixySettings.parse(settings))

  it('is nowhere, unless it is asked to', () => {
    expect([listenersOf({}), hostsOf({})]).to.deep.equal([[], []])
  })

  it('is a unix socket, with its mode and without TLS', () => {
    expect(listenersOf({ unixSocket: '/tmp/pixy.sock', unixSocketMode: '600' })).to.deep.equal([
      {
        label: 'kafka-pixy unix socket',
        prefix: '/pixy',
        address: { unixSocket: '/tmp/pixy.sock', mode: '600', setting: 'apis.kafka-pixy.unixSocket' },
        tls: false
      }
    ])
  })

  it('is a port for gRPC, which has the TLS of the shared port or none', () => {
    const host = { setting: 'apis.kafka-pixy.grpcHost', host: '10.0.0.1' }
    const settings = { grpcPort: 19_091, grpcHost: '10.0.0.1' }
    expect(hostsOf({ ...settings, tls: 'inherit' })).to.deep.equal([{ ...host, tls: true }])
    expect(hostsOf({ ...settings, tls: 'off' })).to.deep.equal([{ ...host, tls: false }])
  })
})

describe('pixy: values in its file', () => {
  const keyOf = (keys: Keys, path: string): Key => keys[path]!
  const shownOf = ({ read = value => value }: Key, value: unknown): unknown => {
    const taken: unknown = read(value as never)
    if (taken instanceof Unusable) return taken.problem
    return taken instanceof Noted ? (taken.value ?? taken.note) : taken
  }

  it('are versions of Kafka, of which those before 0.11 had no headers', () => {
    const version = keyOf(PROCESS_KEYS, 'kafka.version')
    const values = ['0.10.2.1', '0.11.0.0', '0.12', '1.0.0', '2.4', 0.1, '10.0'].map(value => shownOf(version, value))
    expect(values).to.deep.equal([false, true, true, true, true, false, true])
    for (const bad of ['x', '1', '', '1.x', 'x.1', null]) {
      expect(shownOf(version, bad), String(bad)).to.equal(`bad kafka version, ${bad}`)
    }
  })

  it('are lists of brokers, with the port of Kafka where they name none', () => {
    const peers = keyOf(CLUSTER_KEYS, 'kafka.seed_peers')
    expect(shownOf(peers, ['a', 'b:1', 'c:x'])).to.deep.equal(['a:9092', 'b:1', 'c:x:9092'])
    expect(shownOf(peers, [])).to.deep.equal([])
    for (const bad of ['a:1', [1], ['a', null], undefined]) expect(shownOf(peers, bad)).to.contain('HOST:PORT')
    expect([toAddress('a:12'), toAddress('a:12b')]).to.deep.equal(['a:12', 'a:12b:9092'])
  })

  it('are durations as Go writes them', () => {
    for (const key of [keyOf(CLUSTER_KEYS, 'net.dial_timeout'), keyOf(PROCESS_KEYS, 'consumer.ack_timeout')]) {
      expect(['250ms', '15s', '5m'].map(value => shownOf(key, value))).to.deep.equal([250, 15_000, 300_000])
      for (const bad of ['soon', true, null, {}]) expect(shownOf(key, bad)).to.contain('250ms')
    }
  })

  it('are turned round where the names mean the opposite', () => {
    const insecure = keyOf(CLUSTER_KEYS, 'kafka.insecure')
    expect([true, false, 'yes', null].map(value => shownOf(insecure, value))).to.deep.equal([false, true, true, true])
  })

  it('are taken as they are otherwise', () => {
    expect(shownOf(keyOf(PROCESS_KEYS, 'producer.compression'), 'snappy')).to.equal('snappy')
    expect(shownOf(keyOf(CLUSTER_KEYS, 'kafka.tls'), 'x')).to.equal('x')
  })

  it('set something or say why they do not', () => {
    for (const keys of [CLUSTER_KEYS, PROCESS_KEYS]) {
      for (const [path, { setting, note }] of Object.entries(keys)) {
        expect((setting === undefined) !== (note === undefined), path).to.equal(true)
      }
    }
  })
})
