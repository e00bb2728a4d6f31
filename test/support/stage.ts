import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ProgramCastellan as Library, openCastellan } from '../../src/client/open-castellan.js'
import type { ConsumerSettingsOverrides } from '../../src/consumer/group/settings.js'
import type { Logger } from '../../src/core/model.js'
import type { EmbeddedCluster, EmbeddedClusterOptions } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import type { App } from '../../src/server/app/app.js'
import { Child, Children, Gateway } from '../cli/child.js'
import { type Castellan, type CastellanOptions, startCastellan } from './castellan.js'
import { GroupInstance } from './group-instance.js'
import { PeerAddress } from './peer-address.js'
import { freshTopic, resumeAll, type TargetCluster, targetCluster } from './target-cluster.js'
import { startTestApp } from './test-app.js'

/** Settings as options of a command: `--set NAME=VALUE`. */
const asFlags = (settings: Readonly<Record<string, string | number>>): string[] =>
  Object.entries(settings).flatMap(([name, value]) => ['--set', `${name}=${value}`])

interface Cluster {
  readonly bootstrap: string
  close(): Promise<void>
}

/** How a stage gets its cluster, and what it does with it. */
interface ClusterKind<AnyCluster extends Cluster> {
  open(): Promise<AnyCluster>
  createTopic(cluster: AnyCluster, topic: string, partitions: number): unknown
  /** Ends what a test has made of the cluster, so that what it has opened can be closed. */
  calm(cluster: AnyCluster): unknown
}

/**
 * A cluster for the tests of a `describe` block, and what they open on it. What a test or a `beforeEach` hook opens is closed
 * after the test, the rest after the block: first what uses the cluster, all at once, then folders, then the cluster.
 */
export class Stage<AnyCluster extends Cluster> {
  cluster!: AnyCluster
  readonly #kind: ClusterKind<AnyCluster>
  readonly #ofBlock = new Map<unknown, () => unknown>()
  readonly #ofTest = new Map<unknown, () => unknown>()
  readonly #isFresh: boolean
  #reader: Castellan | undefined
  #isInTest = false

  /** To be called in a `describe` block. @param isFresh each test has a cluster of its own */
  constructor(kind: ClusterKind<AnyCluster>, isFresh = false) {
    this.#kind = kind
    this.#isFresh = isFresh
    const open = async (): Promise<void> => {
      this.cluster = await kind.open()
    }
    if (!isFresh) before('a cluster', open)
    beforeEach('a stage', async () => {
      this.#isInTest = true
      if (isFresh) await open()
    })
    afterEach('the stage is cleared', async () => {
      this.#isInTest = false
      if (this.cluster !== undefined) await kind.calm(this.cluster)
      await closeAll(this.#ofTest)
      if (isFresh) await this.cluster?.close()
    })
    after('the stage is closed', async () => {
      await closeAll(this.#ofBlock)
      if (!isFresh) await this.cluster?.close()
    })
  }

  get bootstrap(): string {
    return this.cluster.bootstrap
  }

  /** Has something closed in the end. */
  keep<Thing>(thing: Thing, close: (thing: Thing) => unknown): Thing {
    const open = this.#isInTest ? this.#ofTest : this.#ofBlock
    open.set(thing, () => close(thing))
    return thing
  }

  /** Closes something before the end. */
  async close(thing: unknown): Promise<void> {
    const open = [this.#ofTest, this.#ofBlock].find(each => each.has(thing))
    const close = open?.get(thing)
    open?.delete(thing)
    await close?.()
  }

  /** A gateway in this process. */
  async app(settings?: Readonly<Record<string, string>>, log?: Logger): Promise<App> {
    return this.keep(await startTestApp(this.bootstrap, settings, log), app => app.stop())
  }

  /** Router, delivery and verbs without HTTP. */
  castellan(options?: CastellanOptions): Castellan {
    return this.keep(startCastellan(this.bootstrap, options), castellan => castellan.close())
  }

  /** Another client that looks at what is in the log. */
  get reader(): Castellan {
    if (this.#reader === undefined) {
      const reader = startCastellan(this.bootstrap)
      this.#reader = reader
      const open = this.#isFresh ? this.#ofTest : this.#ofBlock
      open.set(reader, async () => {
        this.#reader = undefined
        await reader.close()
      })
    }
    return this.#reader
  }

  async library(options: Omit<Parameters<typeof openCastellan>[0], 'brokers'> = {}): Promise<Library> {
    const library = await openCastellan({ brokers: this.bootstrap, ...options })
    return this.keep(library, castellan => castellan.close({ timeoutMs: 5_000 }))
  }

  /** A process with consumer groups. */
  async member(settings?: ConsumerSettingsOverrides, clientId?: string): Promise<GroupInstance> {
    return this.keep(await GroupInstance.start(this.bootstrap, settings, clientId), member => member.stop())
  }

  /** The command, run as its users run it. */
  child(args: readonly string[], environment?: Record<string, string>): Child {
    return this.keep(new Child([...args, '--brokers', this.bootstrap], environment), child => child.stop('SIGKILL'))
  }

  /** A gateway in a process of its own. */
  gateway(
    settings: Readonly<Record<string, string | number>> = {},
    environment?: Record<string, string>
  ): Promise<Gateway> {
    const children = this.keep(new Children(), all => all.stopAll())
    return Gateway.start(children, ['--brokers', this.bootstrap, ...asFlags(settings)], environment)
  }

  /** Addresses for gateways that know each other. */
  peers(count = 2): Promise<PeerAddress[]> {
    return Promise.all(
      Array.from({ length: count }, async () => this.keep(await new PeerAddress().open(), address => address.close()))
    )
  }

  folder(): string {
    const folder = mkdtempSync(join(tmpdir(), 'castellan-stage-'))
    return this.keep(folder, () => rmSync(folder, { recursive: true, force: true }))
  }

  /** A topic of its own. */
  async topic(name = 'orders', partitions = 1): Promise<string> {
    const topic = freshTopic(name)
    await this.#kind.createTopic(this.cluster, topic, partitions)
    return topic
  }
}

async function closeAll(open: Map<unknown, () => unknown>): Promise<void> {
  const [folders, others] = [[...open].filter(([thing]) => typeof thing === 'string'), [...open]]
  open.clear()
  const results = await Promise.allSettled(
    others.filter(([thing]) => typeof thing !== 'string').map(([, close]) => close())
  )
  for (const [, close] of folders) close()
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

/** The embedded cluster of three nodes, or real Kafka. */
export const onCluster = (isFresh = false): Stage<TargetCluster> =>
  new Stage(
    {
      open: targetCluster,
      createTopic: (cluster, topic, partitions) => cluster.createTopic(topic, partitions),
      calm: resumeAll
    },
    isFresh
  )

/** An embedded cluster, to which faults can be added. */
export const onBroker = (options?: EmbeddedClusterOptions, isFresh = false): Stage<EmbeddedCluster> =>
  new Stage(
    {
      open: () => startEmbeddedCluster(options),
      createTopic: (cluster, topic, partitions) => cluster.createTopic(topic, { partitions }),
      calm: cluster => cluster.faults.clear()
    },
    isFresh
  )
