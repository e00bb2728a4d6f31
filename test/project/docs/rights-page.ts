import { writeFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { aclLines, type Grant } from '../../../src/cli/doctor/findings.js'
import { type Feature, features } from '../../../src/kafka/features.js'

const HEAD = `# What Kafka must grant

For those who give the gateway its rights in Kafka. To write, and to read with groups, it needs the rows \`connect\`, \`write\`, \`read\` and \`groups\`.
What is not wanted need not be granted: without its rights, a feature is as its last column says. Codes are Kafka's, words are [kinds of trouble](status.md#kinds-of-trouble).

Read, Write, Delete and Alter allow Describe, too, and AlterConfigs allows DescribeConfigs.
\`castellan doctor\` tells which of these features work, by the names in the first column, and which rights are missing.

| the gateway needs it | calls of Kafka | rights of its principal | without them |
|---|---|---|---|
`

const all = Object.values<Feature>(features)

const tableRow = ([name, { what, calls, acls, topic, without }]: readonly [string, Feature]): string =>
  `| \`${name}\`: ${what} | ${calls.map(call => `\`${call}\``).join(', ')} | ${acls.map(([operation, resource]) => `${operation} on ${topic === undefined ? resource : `\`${topic}\``}`).join(', ')} | ${without} |`

/** What the examples name. */
const NAMES = { Topic: 'orders', Group: 'billing', Cluster: 'kafka-cluster', TransactionalId: 'etl' } as const
const STRIMZI = { Topic: 'topic', Group: 'group', Cluster: 'cluster', TransactionalId: 'transactionalId' } as const

const grantsOf = (wanted: readonly Feature[]): Grant[] =>
  wanted.flatMap(({ acls, topic }) => acls.map(right => ({ right, name: topic ?? NAMES[right[1]] })))

const aclsOf = (wanted: readonly Feature[]): string =>
  aclLines(grantsOf(wanted), 'localhost:9092', 'User:castellan').join('\n')

/** Each topic, group or other resource once, with its operations. */
function strimziRules(wanted: readonly Feature[]): string {
  const found = new Map<string, Set<string>>()
  for (const { right, name } of grantsOf(wanted)) {
    const [operation, resource] = right
    const named = resource === 'Cluster' ? '' : `, name: ${name}, patternType: literal`
    const about = `type: ${STRIMZI[resource]}${named}`
    found.set(about, (found.get(about) ?? new Set()).add(operation))
  }
  return Array.from(
    found,
    ([about, operations]) => `      - resource: { ${about} }\n        operations: [${[...operations].join(', ')}]`
  ).join('\n')
}

/** AWS's names of actions; empty: there is none. */
const IAM: Readonly<Record<string, readonly string[]>> = {
  'Describe Topic': ['DescribeTopic'],
  'Create Topic': ['CreateTopic'],
  'Write Topic': ['WriteData', 'DescribeTopic', 'WriteDataIdempotently'],
  'Read Topic': ['ReadData', 'DescribeTopic'],
  'Delete Topic': ['DeleteTopic'],
  'Alter Topic': ['AlterTopic'],
  'DescribeConfigs Topic': ['DescribeTopicDynamicConfiguration'],
  'AlterConfigs Topic': ['AlterTopicDynamicConfiguration'],
  'Read Group': ['AlterGroup', 'DescribeGroup'],
  'Describe Group': ['DescribeGroup'],
  'Delete Group': ['DeleteGroup'],
  'DescribeConfigs Group': [],
  'AlterConfigs Group': [],
  'Describe Cluster': ['DescribeCluster'],
  'DescribeConfigs Cluster': ['DescribeClusterDynamicConfiguration'],
  'AlterConfigs Cluster': ['AlterClusterDynamicConfiguration'],
  'Write TransactionalId': ['AlterTransactionalId', 'DescribeTransactionalId']
}

function policy(wanted: readonly Feature[]): string {
  const actions = wanted.flatMap(({ acls }) => acls.flatMap(right => IAM[right.join(' ')]!))
  const named = ['Connect', ...new Set(actions)].map(action => `kafka-cluster:${action}`)
  const [region, account] = ['eu-central-1', '111122223333']
  const arn = (what: string): string => `arn:aws:kafka:${region}:${account}:${what}`
  const topics = ['topic/main/*/orders', 'topic/main/*/__castellan_instances']
  const resources = ['cluster/main/*', ...topics, 'group/main/*/billing', 'transactional-id/main/*/etl']
  const statement = { Effect: 'Allow', Action: named, Resource: resources.map(arn) }
  return JSON.stringify({ Version: '2012-10-17', Statement: [statement] }, null, 2)
}

const unlessAdministrator = all.filter(feature => feature !== features.administration)

/** docs/kafka-rights.md, made of the features. */
export const rightsPage = (): string => `${HEAD}${Object.entries<Feature>(features).map(tableRow).join('\n')}

The examples are for the topic \`orders\`, the group \`billing\` and the transactional id \`etl\`, with all but the administration.

## kafka-acls.sh

\`\`\`
${aclsOf(unlessAdministrator)}
\`\`\`

With the administration, too:

\`\`\`
${aclsOf([features.administration])}
\`\`\`

## A KafkaUser of Strimzi

\`\`\`yaml
apiVersion: kafka.strimzi.io/v1   # before Strimzi 0.49: v1beta2
kind: KafkaUser
metadata:
  name: castellan
  labels: { strimzi.io/cluster: main }
spec:
  authentication: { type: scram-sha-512 }
  authorization:
    type: simple
    acls:
${strimziRules(unlessAdministrator)}
\`\`\`

## A policy of IAM for MSK

By AWS's own pages, not tried. \`WriteDataIdempotently\` is an action on the cluster. There is none for settings of groups, and transactions need Kafka 3.8.

\`\`\`json
${policy(unlessAdministrator)}
\`\`\`
`

if (import.meta.url === pathToFileURL(process.argv[1]!).href) writeFileSync('docs/kafka-rights.md', rightsPage())
