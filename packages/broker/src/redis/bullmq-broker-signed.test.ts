import { brokerContract } from "../../testing/broker.contract.ts";
import { connectPair } from "../../testing/redis.ts";

brokerContract("BullMqBroker with a secret", () => connectPair("correct horse battery staple"));
