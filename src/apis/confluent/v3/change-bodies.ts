import { z } from 'zod'
import type { ConfigChange } from '../../../gateway/admin.js'
import { KAFKA_REFUSES } from '../failures.js'
import { BodyError } from '../record-bytes.js'

const count = z.int().min(1)
const changes = z.array(
  z.strictObject({ name: z.string(), value: z.string().nullish(), operation: z.enum(['SET', 'DELETE']).nullish() })
)
const MAX_TOPICS = 1_000

/** What `POST …/topics` takes. */
export const newTopicBody = z.strictObject({
  topic_name: z.string().optional(),
  partitions_count: count.nullish(),
  replication_factor: count.nullish(),
  replicas_assignments: z.record(z.string().regex(/^(?:0|[1-9]\d{0,8})$/), z.array(z.int())).nullish(),
  configs: z.array(z.strictObject({ name: z.string(), value: z.string().nullish() })).nullish(),
  validate_only: z.boolean().nullish()
})
export const partitionsBody = z.strictObject({ partitions_count: count })
export const valueBody = z.strictObject({ value: z.string().nullish() })
export const alterBody = z.strictObject({ data: changes, validate_only: z.boolean().nullish() })
/** What `POST …/topics/-/configs:alter` takes. */
export const alterTopicsBody = z.strictObject({
  data: z.array(z.strictObject({ topic_name: z.string(), configs: changes })).max(MAX_TOPICS),
  validate_only: z.boolean().nullish()
})

/** Changes of settings, as bodies have them. */
export const toChanges = (sent: z.output<typeof changes>): readonly ConfigChange[] =>
  sent.map(({ name, value, operation }) => ({ name, value: operation === 'DELETE' ? null : (value ?? null) }))

/** Kafka would not always refuse it, and would leave open which value counts. @throws BodyError */
export function requireNamedOnce(settings: readonly { readonly name: string }[]): void {
  const seen = new Set<string>()
  const twice = settings.find(({ name }) => seen.size === seen.add(name).size)
  if (twice !== undefined) throw new BodyError(400, `the request names the setting ${twice.name} twice`, KAFKA_REFUSES)
}

/** Entries that name the same topic are one change of it. */
export function changesByTopic({ data }: z.output<typeof alterTopicsBody>): [topic: string, ConfigChange[]][] {
  const changes = new Map<string, ConfigChange[]>()
  for (const { topic_name: topic, configs } of data) {
    const known = changes.get(topic)
    if (known === undefined) changes.set(topic, [...toChanges(configs)])
    else known.push(...toChanges(configs))
  }
  return [...changes]
}
