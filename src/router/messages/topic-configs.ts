import type { Failure, Request, TimedOut } from './request.js'

/** Internal, from the gateway only: the settings that topics have for themselves. */
export interface DescribeTopicConfigs extends Request<DescribeTopicConfigsResult> {
  readonly type: 'describeTopicConfigs'
  readonly topics: readonly string[]
}
export type DescribeTopicConfigsResult =
  | {
      readonly type: 'success'
      /** Setting -> value, by topic. A topic that does not exist is absent. */
      readonly overrides: ReadonlyMap<string, ReadonlyMap<string, string>>
      /** The same with those that topics have from their broker. `null`: Kafka keeps the value to itself. */
      readonly configs: ReadonlyMap<string, ReadonlyMap<string, string | null>>
    }
  | TimedOut
  | Failure

/** Internal, from delivery only: settings of one broker. */
export interface DescribeBrokerConfigs extends Request<DescribeBrokerConfigsResult> {
  readonly type: 'describeBrokerConfigs'
  readonly nodeId: number
  readonly names: readonly string[]
}
export type DescribeBrokerConfigsResult =
  | {
      readonly type: 'success'
      /** Setting -> value. A setting that the broker does not have is absent. `null`: Kafka keeps the value to itself. */
      readonly configs: ReadonlyMap<string, string | null>
    }
  | TimedOut
  | Failure

export interface TopicConfigOperations {
  describeBrokerConfigs: { request: DescribeBrokerConfigs; result: DescribeBrokerConfigsResult }
  describeTopicConfigs: { request: DescribeTopicConfigs; result: DescribeTopicConfigsResult }
}
