import { describeApi, type ResponseOf } from './api.js'
import { atMost } from './encoding.js'
import * as t from './schema.js'

/**
 * The words of access control lists as Kafka's tools print them, by their numbers in the protocol. What a filter leaves out
 * is sent as `ANY`; what a later version of Kafka adds is read as `UNKNOWN`. Sources: org.apache.kafka.common.acl and
 * common.resource.
 */
export const aclWords = {
  resourceType: ['UNKNOWN', 'ANY', 'TOPIC', 'GROUP', 'CLUSTER', 'TRANSACTIONAL_ID', 'DELEGATION_TOKEN', 'USER'],
  patternType: ['UNKNOWN', 'ANY', 'MATCH', 'LITERAL', 'PREFIXED'],
  operation: [
    ...['UNKNOWN', 'ANY', 'ALL', 'READ', 'WRITE', 'CREATE', 'DELETE', 'ALTER', 'DESCRIBE', 'CLUSTER_ACTION'],
    ...['DESCRIBE_CONFIGS', 'ALTER_CONFIGS', 'IDEMPOTENT_WRITE', 'CREATE_TOKENS', 'DESCRIBE_TOKENS']
  ],
  permission: ['UNKNOWN', 'ANY', 'DENY', 'ALLOW']
} as const satisfies Readonly<Record<string, readonly string[]>>

type Words = typeof aclWords
type AclWord<Kind extends keyof Words> = Exclude<Words[Kind][number], 'ANY'>
type AclWordToSend<Kind extends keyof Words> = Exclude<AclWord<Kind>, 'UNKNOWN'>

/** Which entries of access control lists are wanted. A field that is absent selects any. */
export interface AclFilter {
  readonly resourceType?: AclWordToSend<'resourceType'> | undefined
  /** The name of a topic or a group; `*` are the entries for all; `kafka-cluster` for the cluster. */
  readonly resourceName?: string | undefined
  /** `MATCH`: all entries that count for a resource of this name, those for its prefixes and for `*` included. */
  readonly patternType?: AclWordToSend<'patternType'> | undefined
  /** `User:ann` */
  readonly principal?: string | undefined
  readonly host?: string | undefined
  readonly operation?: AclWordToSend<'operation'> | undefined
  readonly permission?: AclWordToSend<'permission'> | undefined
}

/** An entry of an access control list. `UNKNOWN`: a word that a later version of Kafka has added. */
export interface AclEntry {
  readonly resourceType: AclWord<'resourceType'>
  readonly resourceName: string
  /** `PREFIXED`: the entry counts for all names that begin so. */
  readonly patternType: AclWord<'patternType'>
  readonly principal: string
  /** `*`: any host. */
  readonly host: string
  readonly operation: AclWord<'operation'>
  readonly permission: AclWord<'permission'>
}

const isSaid = <Word extends string>(word: Word | undefined): word is Exclude<Word, 'ANY'> =>
  word !== undefined && word !== 'ANY'
/** Words in an entry. */
const told = <Word extends string>(words: readonly Word[]) =>
  t.readAs(t.int8, (code): Exclude<Word, 'ANY'> | 'UNKNOWN' => {
    const word = words[code]
    return isSaid(word) ? word : 'UNKNOWN'
  })
/** Words in a filter. */
const wanted = <Word extends string>(words: readonly Word[]): t.OptionalField<Exclude<Word, 'ANY' | 'UNKNOWN'>> => {
  const all: readonly string[] = words
  return { isOptional: true, write: (to, word) => to.int8(all.indexOf(word ?? 'ANY')), read: () => undefined }
}
const anyText = t.optional(t.nullableString, null)

/** Limit of entries in one response. */
const entriesInAll = atMost(1_000_000, 'access control entries')

/** Version 1 (Kafka 2.0). Any broker answers. */
export const describeAclsV1 = describeApi({
  key: 29,
  version: 1,
  name: 'DescribeAcls',
  request: t.struct({
    resourceType: wanted(aclWords.resourceType),
    resourceName: anyText,
    patternType: wanted(aclWords.patternType),
    principal: anyText,
    host: anyText,
    operation: wanted(aclWords.operation),
    permission: wanted(aclWords.permission)
  }),
  response: {
    errorCode: t.int16,
    errorMessage: t.nullableString,
    resources: t.array(
      t.struct({
        resourceType: told(aclWords.resourceType),
        resourceName: t.string,
        patternType: told(aclWords.patternType),
        entries: t.array(
          t.struct({
            principal: t.string,
            host: t.string,
            operation: told(aclWords.operation),
            permission: told(aclWords.permission)
          }),
          entriesInAll
        )
      }),
      entriesInAll
    )
  },
  asked: () => 1
})
export type DescribeAclsResponse = ResponseOf<typeof describeAclsV1>
