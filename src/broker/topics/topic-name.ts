const LEGAL = /^[a-zA-Z0-9._-]{1,249}$/

/** Kafka's rule. `__proto__` is as legal as any. */
export const isLegalTopicName = (name: string): boolean => LEGAL.test(name) && name !== '.' && name !== '..'

/** Two names that differ only in `.` and `_` would share their metrics, so Kafka refuses the second. */
export const collisionForm = (name: string): string => name.replaceAll('.', '_')
