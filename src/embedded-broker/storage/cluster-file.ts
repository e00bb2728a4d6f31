import { z } from 'zod'
import { ConfigError } from '../../core/errors.js'
import { isLegalTopicName } from '../../core/model.js'
import { messageOf } from '../../core/node-errors.js'
import { TopicConfig } from '../topics/topic-config.js'
import type { TopicDescription } from '../topics/topic-table.js'
import { FILE_MODE, type FileSystem } from './file-bytes.js'
import { FIRST_PRODUCER_ID, newClusterId, type StoredCluster } from './storage.js'

/** Pause before another attempt to write the file after a failure. */
const RETRY_MS = 1000

/** The file `cluster.json`, with cluster id, next producer id, and topics with settings, replicas and log starts. */
export class ClusterFile implements StoredCluster {
  readonly clusterId: string
  readonly topics: readonly TopicDescription[]
  readonly #path: string
  readonly #files: FileSystem
  readonly #warn: (message: string) => void
  #nextProducerId: number
  #describe: () => readonly TopicDescription[]
  #savedTopicIds: ReadonlySet<string> = new Set()
  #saving: NodeJS.Immediate | undefined
  #retry: NodeJS.Timeout | undefined
  #isClosed = false

  /** @throws ConfigError when the file exists and cannot be read */
  constructor(path: string, files: FileSystem, warn: (message: string) => void) {
    this.#path = path
    this.#files = files
    this.#warn = warn
    const { clusterId, nextProducerId, topics } = this.#read()
    this.clusterId = clusterId
    this.topics = topics
    this.#nextProducerId = nextProducerId
    this.#describe = () => topics
  }

  get nextProducerId(): number {
    return this.#nextProducerId
  }

  saveTopics(describe: () => readonly TopicDescription[]): void {
    if (this.#isClosed) return
    this.#describe = describe
    this.#saving ??= setImmediate(() => this.#saveOrRetry())
  }

  requireSaved(topicId: string): void {
    if (!this.#savedTopicIds.has(topicId)) this.#write()
  }

  /** Writes the file at once, because a producer id must never be allocated twice. */
  saveNextProducerId(next: number): void {
    const before = this.#nextProducerId
    this.#nextProducerId = next
    try {
      this.#write()
    } catch (error) {
      this.#nextProducerId = before
      throw error
    }
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#retry)
    try {
      this.#write()
    } catch (error) {
      this.#warn(`${this.#path} cannot be written: ${messageOf(error)}`)
    }
  }

  #read(): z.output<typeof content> {
    if (!this.#files.existsSync(this.#path)) {
      return { format: 1, clusterId: newClusterId(), nextProducerId: FIRST_PRODUCER_ID, topics: [] }
    }
    try {
      return parse(this.#files.readFileSync(this.#path, 'utf8'))
    } catch (error) {
      throw new ConfigError(`${this.#path} cannot be read (${messageOf(error)}); move it away to start anew`)
    }
  }

  /**
   * Writes the file. After a failure it tries again later, because a full disk may have free space again. Until then,
   * records of topics that are not in the file are refused.
   */
  #saveOrRetry(): void {
    this.#saving = undefined
    try {
      this.#write()
    } catch (error) {
      if (!this.#retry) this.#warn(`${this.#path} cannot be written and is tried again: ${messageOf(error)}`)
      // All failed attempts share one timer, so that it can be stopped.
      clearTimeout(this.#retry)
      this.#retry = setTimeout(() => this.#saveOrRetry(), RETRY_MS).unref()
    }
  }

  /** Writes a new file and renames it, so that a crash leaves either the old file or the new one. */
  #write(): void {
    clearImmediate(this.#saving)
    this.#saving = undefined
    const topics = this.#describe()
    const { clusterId } = this
    const file = { format: 1, clusterId, nextProducerId: this.#nextProducerId, topics }
    this.#files.writeFileSync(`${this.#path}.new`, JSON.stringify(file, null, 1), { mode: FILE_MODE })
    this.#files.renameSync(`${this.#path}.new`, this.#path)
    this.#savedTopicIds = new Set(topics.flatMap(({ id }) => id ?? []))
    clearTimeout(this.#retry)
    this.#retry = undefined
  }
}

const count = z.int().nonnegative()

/** Every field is checked, because the file may have been edited, and names become folders and numbers become offsets. */
const content = z.object({
  format: z.literal(1),
  clusterId: z.string().regex(/^[\w-]{1,64}$/),
  nextProducerId: count,
  topics: z
    .array(
      z.object({
        name: z.string().refine(isLegalTopicName, 'must be a legal topic name'),
        id: z
          .string()
          .regex(/^[\w-]{22}$/)
          .exactOptional(),
        // A setting that an earlier version took and Kafka refuses is left out: its topic can still be read.
        config: z
          .array(z.tuple([z.string(), z.string()]))
          .transform(all => all.filter(([name, value]) => TopicConfig.problem(name, value) === undefined)),
        partitions: z
          .array(
            z.object({
              replicas: z.array(count),
              leaderEpoch: count.lt(2 ** 31 - 1),
              logStartOffset: count,
              endOffset: count.optional()
            })
          )
          .min(1)
      })
    )
    .superRefine((topics, { addIssue }) => {
      const names = new Set<string>()
      for (const [index, { name }] of topics.entries()) {
        if (names.has(name)) addIssue({ code: 'custom', path: [index, 'name'], message: 'occurs twice' })
        names.add(name)
      }
    })
})

/** @throws Error with the first field that is invalid */
function parse(text: string): z.output<typeof content> {
  const { data, error } = content.safeParse(JSON.parse(text))
  if (data) return data
  const { path, message } = error.issues[0]!
  throw new Error(`${z.core.toDotPath(path) || 'the file'}: ${message}`)
}
