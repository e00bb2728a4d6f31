import { writeFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { type AclRight, type Feature, features } from '../../../src/kafka/features.js'

const HEAD = `# What Kafka must grant

For those who give the gateway its rights in Kafka. \`src/kafka/features.ts\` has them, and \`npm run docs\` writes this page.
What is not wanted need not be granted: without its rights, a feature is as its last column says. Codes are Kafka's, words are [kinds of trouble](status.md#kinds-of-trouble).

Read, Write, Delete and Alter allow Describe, too, and AlterConfigs allows DescribeConfigs. Consumer instances outlive gateways if it also may Create, Read and Write the topic \`__castellan_instances\`.

| the gateway needs it | calls of Kafka | rights of its principal | without them |
|---|---|---|---|
`

const all = Object.values<Feature>(features)

const tableRow = ({ what, calls, acls, without }: Feature): string =>
  `| ${what} | ${calls.map(call => `\`${call}\``).join(', ')} | ${acls.map(([operation, resource]) => `${operation} on ${resource}`).join(', ')} | ${without} |`

/** What the examples name. */
const NAMES = { Topic: 'orders', Group: 'billing', Cluster: 'kafka-cluster', TransactionalId: 'etl' } as const
const OPTIONS = {
  Topic: '--topic orders',
  Group: '--group billing',
  Cluster: '--cluster',
  TransactionalId: '--transactional-id etl'
} as const
const STRIMZI = { Topic: 'topic', Group: 'group', Cluster: 'cluster', TransactionalId: 'transactionalId' } as const

/** The operations by resource, each once, in their order. */
function byResource(wanted: readonly Feature[]): Map<AclRight[1], AclRight[0][]> {
  const found = new Map<AclRight[1], AclRight[0][]>()
  for (const [operation, resource] of wanted.flatMap(({ acls }) => acls)) {
    const operations = found.get(resource) ?? []
    if (!operations.includes(operation)) operations.push(operation)
    found.set(resource, operations)
  }
  return found
}

const aclLine = ([resource, operations]: readonly [AclRight[1], readonly AclRight[0][]]): string =>
  `kafka-acls.sh --bootstrap-server localhost:9092 --add --allow-principal User:castellan ${operations.map(operation => `--operation ${operation}`).join(' ')} ${OPTIONS[resource]}`

const strimziRule = ([resource, operations]: readonly [AclRight[1], readonly AclRight[0][]]): string => {
  const name = resource === 'Cluster' ? '' : `, name: ${NAMES[resource]}, patternType: literal`
  return `      - resource: { type: ${STRIMZI[resource]}${name} }\n        operations: [${operations.join(', ')}]`
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
  const resources = ['cluster/main/*', 'topic/main/*/orders', 'group/main/*/billing', 'transactional-id/main/*/etl']
  const statement = { Effect: 'Allow', Action: named, Resource: resources.map(arn) }
  return JSON.stringify({ Version: '2012-10-17', Statement: [statement] }, null, 2)
}

const unlessAdministrator = all.filter(feature => feature !== features.administration)

/** docs/kafka-rights.md, made of the features. */
export const rightsPage = (): string => `${HEAD}${all.map(tableRow).join('\n')}

The examples are for the topic \`orders\`, the group \`billing\` and the transactional id \`etl\`, with all but the administration.

## kafka-acls.sh

\`\`\`
${[...byResource(unlessAdministrator)].map(aclLine).join('\n')}
\`\`\`

With the administration, too:

\`\`\`
${[...byResource([features.administration])].map(aclLine).join('\n')}
\`\`\`

## A KafkaUser of Strimzi

\`\`\`yaml
apiVersion: kafka.strimzi.io/v1beta2
kind: KafkaUser
metadata:
  name: castellan
  labels: { strimzi.io/cluster: main }
spec:
  authentication: { type: scram-sha-512 }
  authorization:
    type: simple
    acls:
${[...byResource(unlessAdministrator)].map(strimziRule).join('\n')}
\`\`\`

## A policy of IAM for MSK

By AWS's own pages, not tried. \`WriteDataIdempotently\` is an action on the cluster. There is none for settings of groups, and transactions need Kafka 3.8.

\`\`\`json
${policy(unlessAdministrator)}
\`\`\`
`

if (import.meta.url === pathToFileURL(process.argv[1]!).href) writeFileSync('docs/kafka-rights.md', rightsPage())
