import type { Logger } from '../../src/core/model.js'
import type { App } from '../../src/server/app/app.js'
import { freshTopic, type TargetCluster, targetCluster } from './target-cluster.js'
import { startTestApp } from './test-app.js'

export interface Opened {
  readonly cluster: TargetCluster
  readonly app: App
}

/** An API on a port of its own, over the embedded broker or real Kafka. */
export class ApiStage implements Opened {
  readonly cluster: TargetCluster
  readonly app: App
  readonly name: string
  /** The API's own port. */
  readonly url: string
  #groups = 0

  protected constructor({ cluster, app }: Opened, name: string) {
    this.cluster = cluster
    this.app = app
    this.name = name
    this.url = app.urls.apis.get(name)!
  }

  protected static async opened(
    name: string,
    settings: Readonly<Record<string, string>>,
    log?: Logger
  ): Promise<Opened> {
    const cluster = await targetCluster()
    try {
      const all = { [`apis.${name}.port`]: '0', 'delivery.createTopics': 'false', ...settings }
      return { cluster, app: await startTestApp(cluster.bootstrap, all, log) }
    } catch (error) {
      await cluster.close()
      throw error
    }
  }

  async close(): Promise<void> {
    await this.app.stop()
    await this.cluster.close()
  }

  /** A topic of its own. */
  async topic(partitions: number): Promise<string> {
    const topic = freshTopic(`${this.name}.${partitions}`)
    await this.cluster.createTopic(topic, partitions)
    return topic
  }

  group(): string {
    return `${this.name}-${process.pid}-${Date.now()}-${++this.#groups}`
  }
}
