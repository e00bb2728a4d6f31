import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { ConfigError } from '../../src/core/errors.js'
import type { EmbeddedCluster, EmbeddedClusterOptions } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { BrokerLock } from '../../src/embedded-broker/storage/broker-lock.js'
import { batchOf, RawKafka } from '../support/raw-kafka.js'
import { produce } from '../support/raw-kafka-calls.js'

describe('broker: the lock of its directory', () => {
  let directory: string
  let started: EmbeddedCluster[]
  let warnings: string[]

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-broker-'))
    started = []
    warnings = []
  })
  afterEach(async () => {
    for (const cluster of started) await cluster.close()
    rmSync(directory, { recursive: true, force: true })
  })

  async function start(options: EmbeddedClusterOptions = {}): Promise<EmbeddedCluster> {
    const cluster = await startEmbeddedCluster({ directory, warn: line => void warnings.push(line), ...options })
    started.push(cluster)
    return cluster
  }
  const refusal = (starting: Promise<unknown>): Promise<Error | undefined> =>
    starting.then(
      () => undefined,
      (error: Error) => error
    )
  /** The id of a process that has ended: what a process of another container looks like from here. */
  const unknownPid = (): string => String(spawnSync('true').pid)
  const pidFile = (): string => join(directory, 'lock')

  it('is the process id, for releases that look at nothing else, and a socket; both go with it', async () => {
    const cluster = await start()
    expect(readFileSync(pidFile(), 'utf8')).to.equal(String(process.pid))
    expect((await refusal(start()))?.message).to.equal(
      `${directory} is in use by process ${process.pid}; give the embedded broker another directory`
    )
    await cluster.close()
    expect(readdirSync(directory).filter(name => name.startsWith('lock'))).to.deep.equal([])
    expect(warnings).to.deep.equal([])
  })

  it('keeps out a broker that does not see the process with the id', async () => {
    await start()
    writeFileSync(pidFile(), unknownPid())
    const error = await refusal(start())
    expect(error).to.be.instanceOf(ConfigError)
    expect(error?.message).to.equal(
      `${directory} is in use by another process; give the embedded broker another directory`
    )
  })

  it('stays with a live process of an old release, which has no socket', async () => {
    writeFileSync(pidFile(), String(process.ppid))
    expect((await refusal(start()))?.message).to.match(new RegExp(`is in use by process ${process.ppid};`))
    expect(readFileSync(pidFile(), 'utf8')).to.equal(String(process.ppid))
    expect(readdirSync(directory)).to.not.include('lock.socket')
  })

  it('is taken over from a process that was killed', async () => {
    writeFileSync(pidFile(), unknownPid())
    writeFileSync(join(directory, 'lock.socket'), '')
    await start()
    expect(readFileSync(pidFile(), 'utf8')).to.equal(String(process.pid))
  })

  it('that an old release of another container has taken ends the broker, which writes nothing more', async () => {
    const lost = new Promise<string>(resolve => {
      void start({ warn: resolve }).then(async cluster => {
        cluster.createTopic('orders', { partitions: 1 })
        const client = await RawKafka.connect(cluster.nodes[0]!)
        await produce(client, 'orders', 0, batchOf(['a']))
        client.close()
        rmSync(pidFile())
        writeFileSync(pidFile(), unknownPid())
        renameSync(join(directory, 'cluster.json'), join(directory, 'elsewhere.json'))
      })
    })
    expect(await lost).to.equal(
      `another process has taken ${directory}: the embedded broker writes nothing any more, and ends`
    )
    await started[0]!.close()
    expect(existsSync(join(directory, 'cluster.json')), 'written again').to.equal(false)
    expect(readFileSync(pidFile(), 'utf8')).to.not.equal(String(process.pid))
    expect((await refusal(RawKafka.connect(started[0]!.nodes[0]!)))?.message).to.match(/ECONNREFUSED/)
  })

  for (const code of ['ENOTSUP', 'EOPNOTSUPP', 'EACCES', 'EINVAL', 'EPERM'])
    it(`is the process id alone where a socket cannot be bound (${code}), with a warning`, async () => {
      const takeSocket = (): Promise<never> => Promise.reject(Object.assign(new Error(`listen ${code}`), { code }))
      const take = () =>
        BrokerLock.take(directory, { warn: line => void warnings.push(line), onLost: () => undefined, takeSocket })
      const lock = await take()
      expect((await refusal(take()))?.message).to.match(/is in use by process/)
      lock.release()
      expect(readdirSync(directory)).to.deep.equal([])
      expect(warnings).to.deep.equal([
        `no socket can be in ${directory} (listen ${code}): a broker in another container would not be kept out of it`
      ])
    })
})
