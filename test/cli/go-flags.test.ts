import { expect } from 'chai'
import { Option } from 'commander'
import { parse } from 'yaml'
import { fromGoFlags } from '../../src/cli/cli.js'
import { commandsOfApis } from '../../src/cli/commands/api.js'
import { checkRows } from '../support/rows.js'
import { runCommand } from './run-command.js'

describe("flags as Go's package flag takes them", () => {
  const options = ['--config <FILE>', '--kafkaPeers <LIST>', '--tls', '--set <NAME=VALUE>', '-p, --port <PORT>'].map(
    flags => new Option(flags)
  )
  const names = new Set(['config', 'kafkaPeers', 'tls'])
  const cases: [given: string, taken: string][] = [
    ['-config a.yaml', '--config a.yaml'],
    ['--config a.yaml', '--config a.yaml'],
    ['-config=a.yaml', '--config=a.yaml'],
    ['--config=a=b', '--config=a=b'],
    ['-kafkaPeers k1:9092,k2:9092 -tls', '--kafkaPeers k1:9092,k2:9092 --tls'],
    ['-config -tls', '--config -tls'],
    ['-tls=true --tls=1 -tls=T', '--tls --tls --tls'],
    ['-tls=false -tls=0', ''],
    ['-tls=perhaps', '-tls=perhaps'],
    ['-p 80 --port -config', '-p 80 --port -config'],
    ['--set -config -config b', '--set -config --config b'],
    ['-port 80', '--port 80'],
    ['-nope x', '--nope x'],
    ['-bogus=3', '--bogus=3'],
    ['-p=80', '-p=80'],
    ['-config a -- -config b', '--config a -- -config b'],
    ['-config', '--config']
  ]
  it('each way to write a flag in Go is one of ours', () =>
    checkRows(cases, ([given, taken]) =>
      expect(fromGoFlags(given.split(' '), options, names).join(' ')).to.equal(taken)
    ))

  it('are read so by castellan kafka-pixy, and by no other command', async () => {
    const flags = ['-tcpAddr=127.0.0.1:7', '-kafkaPeers', 'k1,k2:1', '-tls=true']
    const { code, stdout, stderr } = await runCommand(['kafka-pixy', ...flags, '--print-config'])
    expect([code, stderr]).to.deep.equal([0, ''])
    const printed = parse(stdout) as { clusters: { default: object }; apis: Record<string, object> }
    expect(printed.clusters.default).to.deep.include({ brokers: ['k1:9092', 'k2:1'] })
    expect(printed.apis['kafka-pixy']).to.include({ port: 7 })
    expect((await runCommand(['serve', '-host', '127.0.0.1'])).code).to.equal(2)
  })

  it('that castellan kafka-pixy does not have are errors that name them', async () => {
    for (const flag of ['-bogus=3', '-bogus', '-pidfile=x', '-brokers1=a:1']) {
      const { code, stderr } = await runCommand(['kafka-pixy', flag, '--print-config'])
      expect([code, stderr.includes(`unknown flag -${flag.replace(/=.*/, '')}`)], stderr).to.deep.equal([2, true])
    }
  })

  it('are those of Kafka-Pixy, all of them', () => {
    const all = commandsOfApis.flatMap(({ name, goFlags }) => (goFlags ? [[name, [...goFlags].sort()]] : []))
    const flags = ['caCertFile', 'clientCertFile', 'clientCertKeyFile', 'config', 'embedded', 'grpcAddr', 'insecureTLS']
    const more = ['kafkaPeers', 'logging', 'pidFile', 'tcpAddr', 'tls', 'unixAddr', 'zookeeperPeers']
    expect(all).to.deep.equal([['kafka-pixy', [...flags, ...more]]])
  })
})
