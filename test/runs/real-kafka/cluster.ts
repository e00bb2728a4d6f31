import { type ChildProcess, execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { silentLogger } from '../../../src/core/model.js'
import type { PartitionMetadata } from '../../../src/kafka/broker-client.js'
import { createBrokerClientFactory } from '../../../src/kafka/broker-client-factory.js'
import { AdminShell } from './admin-shell.js'
import { type Certificate, makeCertificate } from './certificate.js'
import { javaArguments, kafkaClasspath, kafkaVersion } from './jars.js'
import { freePorts } from './ports.js'
import { requirePrograms } from './requirements.js'
import { type NodePorts, saslUser, serverProperties } from './server-properties.js'
import { kill, Workspace } from './workspace.js'

/** Where Kafka keeps the offsets of groups: the leader of a partition is the coordinator of its groups. */
const OFFSETS_TOPIC = '__consumer_offsets'
/**
 * Limit of each node's heap. Measured in a whole run: 80 to 110 MB live, for moments 260 MB, and with a limit of 384 MB such a
 * moment costs full collections of 1.2 s, one after another; a node that stands still for 1.5 s is out of the cluster.
 */
const heapMb = 1_024

/** A partition as Kafka's admin client describes it. */
export interface PartitionState {
  /** -1: none. */
  readonly leaderId: number
  readonly replicas: readonly number[]
  readonly inSync: readonly number[]
}

/** Three combined KRaft nodes on loopback, each a JVM that can be killed, paused and restarted. */
export class KafkaCluster {
  readonly version = kafkaVersion
  readonly #nodes = new Map<number, ChildProcess>()

  private constructor(
    readonly workspace: Workspace,
    readonly classpath: string,
    readonly certificate: Certificate,
    readonly ports: readonly NodePorts[],
    readonly admin: AdminShell
  ) {}

  /**
   * Formats and starts; resolves when all nodes are in the metadata and can lead.
   *
   * @param more settings of the brokers, before those of every test
   */
  static async start(more: Readonly<Record<string, string | number>> = {}): Promise<KafkaCluster> {
    requirePrograms('java', 'keytool', 'mvn')
    const classpath = await kafkaClasspath()
    const workspace = new Workspace()
    try {
      const certificate = await makeCertificate(workspace.directory)
      const ports = await choosePorts()
      await format(workspace, classpath, ports, certificate, more)
      const admin = new AdminShell(workspace, classpath, bootstrapOf(ports))
      const cluster = new KafkaCluster(workspace, classpath, certificate, ports, admin)
      for (const { nodeId } of ports) cluster.startNode(nodeId)
      await cluster.#ready()
      return cluster
    } catch (error) {
      await workspace.close()
      throw error
    }
  }

  get nodeIds(): number[] {
    return this.ports.map(node => node.nodeId)
  }

  /** `127.0.0.1:p,127.0.0.1:q,127.0.0.1:r`, without TLS. */
  get bootstrap(): string {
    return bootstrapOf(this.ports)
  }

  /** The listeners with TLS and SASL (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER). */
  get saslSslBootstrap(): string {
    return this.ports.map(node => `127.0.0.1:${node.saslSsl}`).join(',')
  }

  /** Starts a node that is down; does not wait for it. */
  startNode(nodeId: number): void {
    if (this.isRunning(nodeId)) return
    const properties = this.workspace.path(`node-${nodeId}.properties`)
    const args = [...javaArguments(this.classpath, heapMb), 'kafka.Kafka', properties]
    this.#nodes.set(nodeId, this.workspace.start(`node-${nodeId}`, 'java', args))
  }

  isRunning(nodeId: number): boolean {
    const node = this.#nodes.get(nodeId)
    return node !== undefined && node.exitCode === null && node.signalCode === null
  }

  /** `SIGKILL` and `SIGTERM` resolve when the process has ended, `SIGSTOP` and `SIGCONT` at once. */
  async signal(nodeId: number, signal: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    const node = this.#nodes.get(nodeId)
    if (!node) throw new Error(`there is no node ${nodeId}`)
    if (signal === 'SIGKILL' || signal === 'SIGTERM') await kill(node, signal)
    else node.kill(signal)
  }

  /** The node that is the active controller. */
  async activeController(): Promise<number> {
    return Number(await this.admin.ask('controller'))
  }

  async createTopic(topic: string, partitions: number, config: Readonly<Record<string, string>> = {}): Promise<void> {
    const pairs = Object.entries(config).map(([name, value]) => `${name}=${value}`)
    await this.admin.ask('createTopic', topic, partitions, this.ports.length, ...pairs)
    await this.waitFor(`${topic} to have leaders`, () => this.#isKnownEverywhere(topic, partitions))
  }

  async growTopic(topic: string, partitions: number): Promise<void> {
    await this.admin.ask('growTopic', topic, partitions)
    await this.waitFor(`${topic} to have ${partitions} partitions`, () => this.#isKnownEverywhere(topic, partitions))
  }

  /** Brokers learn of a topic, and of partitions, one after another, and any of them may be asked next. */
  async #isKnownEverywhere(topic: string, partitions: number): Promise<boolean> {
    const running = this.ports.filter(node => this.isRunning(node.nodeId))
    const answers = await Promise.all(running.map(node => askMetadata(node.plaintext, topic)))
    return answers.every(found => {
      return found.length === partitions && found.every(({ errorCode, leaderId }) => errorCode === 0 && leaderId > 0)
    })
  }

  async partitions(topic: string): Promise<PartitionState[]> {
    const numbers = (text: string): number[] => text.split(',').filter(Boolean).map(Number)
    return (await this.admin.ask('partitions', topic)).split(';').map(line => {
      const [leader = '', replicas = '', inSync = ''] = line.split(':')
      return { leaderId: Number(leader), replicas: numbers(replicas), inSync: numbers(inSync) }
    })
  }

  /** Puts the node first among the replicas (reassignment) and elects it (preferred election), as the tools do. */
  async moveLeader(topic: string, partition: number, nodeId: number): Promise<void> {
    const replicas = [nodeId, ...this.nodeIds.filter(id => id !== nodeId)]
    await this.admin.ask('reassign', topic, partition, replicas.join(','))
    await this.waitFor(`${topic}/${partition} to be led by ${nodeId}`, async () => {
      if ((await this.partitions(topic))[partition]?.leaderId === nodeId) return true
      await this.admin.ask('electPreferred', topic, partition)
      return (await this.partitions(topic))[partition]?.leaderId === nodeId
    })
  }

  /**
   * Loses what `write` writes by an unclean election: the other replica is down meanwhile, and leads when it is back while the
   * one that has the records is down. The third node keeps the quorum. The election is asked for, and not a setting of the
   * topic: with the setting other partitions lose records too when a busy machine lets a node miss its heartbeats.
   */
  async loseEnd(topic: string, partition: number, write: () => Promise<unknown>): Promise<void> {
    await this.admin.ask('setTopicConfig', topic, 'min.insync.replicas', '1')
    const [holder, heir] = this.nodeIds as [number, number]
    await this.admin.ask('reassign', topic, partition, `${holder},${heir}`)
    const isSo = async (what: string, holds: (state: PartitionState) => boolean): Promise<void> =>
      this.waitFor(what, async () => holds((await this.partitions(topic))[partition]!))
    await isSo('two replicas', ({ replicas, inSync }) => replicas.length === 2 && inSync.length === 2)
    await this.waitFor(`${topic}/${partition} to be led by ${holder}`, async () => {
      await this.admin.ask('electPreferred', topic, partition)
      return (await this.partitions(topic))[partition]?.leaderId === holder
    })
    await this.signal(heir, 'SIGKILL')
    await isSo('one replica in sync', ({ inSync }) => inSync.length === 1)
    await write()
    await this.signal(holder, 'SIGKILL')
    this.startNode(heir)
    await this.waitFor(`${topic}/${partition} to be led by ${heir}`, async () => {
      await this.admin.ask('electUnclean', topic, partition)
      return (await this.partitions(topic))[partition]?.leaderId === heir
    })
    this.startNode(holder)
    await this.waitFor('all nodes to be back', async () => {
      const [nodes, states] = await Promise.all([this.admin.ask('nodes'), this.partitions(topic)])
      return nodes.split(',').length === this.ports.length && states[partition]!.inSync.length === 2
    })
  }

  /** Gives each node the coordinators back that it had before it was away: a node without any has no groups. */
  async electCoordinators(): Promise<void> {
    await this.waitFor('every node to have its coordinators', async () => {
      const states = await this.partitions(OFFSETS_TOPIC).catch((error: Error) => {
        // The topic does not exist before the first group.
        if (error.message.includes('UnknownTopicOrPartitionException')) return []
        throw error
      })
      const moved = states.flatMap(({ leaderId, replicas }, at) => (leaderId === replicas[0] ? [] : [at]))
      for (const partition of moved) await this.admin.ask('electPreferred', OFFSETS_TOPIC, partition)
      return moved.length === 0
    })
  }

  /** Resolves when every node is registered, un-fenced and in the in-sync set of the given topics. */
  async healed(...topics: string[]): Promise<void> {
    await this.#allInSync(topics, state => state.inSync.length === this.ports.length)
  }

  /** As {@link healed}, for topics whose partitions may have fewer replicas than there are nodes. */
  async recovered(...topics: string[]): Promise<void> {
    await this.#allInSync(topics, state => state.inSync.length === state.replicas.length)
  }

  async #allInSync(topics: readonly string[], isSo: (state: PartitionState) => boolean): Promise<void> {
    await this.waitFor('all nodes to be back', async () => {
      if ((await this.admin.ask('nodes')).split(',').length !== this.ports.length) return false
      const states = (await Promise.all(topics.map(topic => this.partitions(topic)))).flat()
      return states.every(state => state.leaderId > 0 && isSo(state))
    })
  }

  /** Polls until the check holds; a check that throws counts as not yet. */
  async waitFor(what: string, check: () => Promise<boolean>, timeoutMs = 120_000): Promise<void> {
    const deadline = performance.now() + timeoutMs
    let last: unknown
    while (performance.now() < deadline) {
      try {
        if (await check()) return
      } catch (error) {
        last = error
      }
      await sleep(50)
    }
    throw new Error(`waited ${timeoutMs} ms for ${what}`, { cause: last })
  }

  /** Ends all nodes and starts new ones without data, with another cluster id, at the same addresses. */
  async wipe(): Promise<void> {
    await Promise.all(this.nodeIds.map(nodeId => this.signal(nodeId, 'SIGKILL')))
    for (const { nodeId } of this.ports) rmSync(this.workspace.path(`data-${nodeId}`), { recursive: true })
    await formatStorage(this.workspace, this.classpath, this.ports)
    for (const { nodeId } of this.ports) this.startNode(nodeId)
    await this.#ready()
  }

  /** Kills every process and removes every file of the cluster. */
  async stop(): Promise<void> {
    await this.workspace.close()
  }

  async #ready(): Promise<void> {
    const died = new Promise<never>((_, reject) => {
      for (const [nodeId, child] of this.#nodes) {
        child.once('exit', code => reject(new Error(`node ${nodeId} ended with code ${code}:\n${this.log(nodeId)}`)))
      }
    })
    died.catch(() => {})
    await Promise.race([died, this.healed()])
    // SCRAM credentials live in the cluster; PLAIN's are settings of the brokers.
    for (const mechanism of ['SCRAM-SHA-256', 'SCRAM-SHA-512']) {
      await this.admin.ask('addScramUser', mechanism, saslUser.username, saslUser.password)
    }
  }

  /** The last lines a node has logged. */
  log(nodeId: number): string {
    return readFileSync(this.workspace.path(`node-${nodeId}.log`), 'utf8')
      .split('\n')
      .slice(-40)
      .join('\n')
  }
}

/** What one broker says about a topic. */
async function askMetadata(port: number, topic: string): Promise<readonly PartitionMetadata[]> {
  const times = { requestTimeoutMs: 5000, connectTimeoutMs: 5000 }
  const connect = createBrokerClientFactory({ clientId: 'cluster', ...times, log: silentLogger })
  const client = connect({ host: '127.0.0.1', port }, 'metadata')
  try {
    const { topics } = await client.metadata({ topics: [topic], allowAutoTopicCreation: false })
    return topics[0]?.partitions ?? []
  } finally {
    await client.close()
  }
}

const bootstrapOf = (ports: readonly NodePorts[]): string => ports.map(node => `127.0.0.1:${node.plaintext}`).join(',')

async function choosePorts(): Promise<NodePorts[]> {
  const free = await freePorts(12)
  return [1, 2, 3].map(nodeId => {
    const [plaintext, saslSsl, controller, proxied] = free.slice((nodeId - 1) * 4) as [number, number, number, number]
    return { nodeId, plaintext, saslSsl, controller, proxied }
  })
}

/** Writes each node's settings and storage. */
async function format(
  workspace: Workspace,
  classpath: string,
  ports: readonly NodePorts[],
  certificate: Certificate,
  more: Readonly<Record<string, string | number>>
): Promise<void> {
  for (const node of ports) {
    const properties = workspace.path(`node-${node.nodeId}.properties`)
    writeFileSync(properties, serverProperties(node, ports, workspace.path(`data-${node.nodeId}`), certificate, more))
  }
  await formatStorage(workspace, classpath, ports)
}

/** Storage of a new cluster. */
async function formatStorage(workspace: Workspace, classpath: string, ports: readonly NodePorts[]): Promise<void> {
  // The leading 0 byte keeps the tool from taking an id that begins with `-` for a flag.
  const clusterId = Buffer.concat([Buffer.alloc(1), randomBytes(15)]).toString('base64url')
  await Promise.all(
    ports.map(async node => {
      const properties = workspace.path(`node-${node.nodeId}.properties`)
      const tool = ['kafka.tools.StorageTool', 'format', '--config', properties, '--cluster-id', clusterId]
      await promisify(execFile)('java', [...javaArguments(classpath, 128), ...tool])
    })
  )
}
