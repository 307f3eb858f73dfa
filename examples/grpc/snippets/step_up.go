// Command step_up calls bank.v1.Bank/Transfer; where it is refused, it steps up by a code and repeats the call once.
//
// Against `cargo run -p grpc --example tonic`, whose code is 123456. The imports of gen are what protoc makes of proto/:
//
//	protoc -Iproto --go_out=. --go-grpc_out=. \
//		--go_opt=module=example.com/bank --go-grpc_opt=module=example.com/bank \
//		--go_opt=Mbank/v1/bank.proto=example.com/bank/gen/bankv1 \
//		--go-grpc_opt=Mbank/v1/bank.proto=example.com/bank/gen/bankv1 \
//		--go_opt=Mstepup/v1/step_up.proto=example.com/bank/gen/stepupv1 \
//		--go-grpc_opt=Mstepup/v1/step_up.proto=example.com/bank/gen/stepupv1 \
//		bank/v1/bank.proto stepup/v1/step_up.proto
//	go run ./step_up.go 127.0.0.1:50051 alice-1
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"example.com/bank/gen/bankv1"
	"example.com/bank/gen/stepupv1"
)

var (
	// ErrCancelled says that the user does not want to step up.
	ErrCancelled = errors.New("the step-up was cancelled")
	// ErrSpent says that this very call has passed before: ask the user before it is approved again.
	ErrSpent = errors.New("the step-up was consumed already")
)

// Ask returns the code that the user types; nothing where they do not want to.
type Ask func(operation, channel string) string

// errorInfo returns the google.rpc.ErrorInfo in the details of a status, or nil.
func errorInfo(err error) *errdetails.ErrorInfo {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info
		}
	}
	return nil
}

// withStepUp calls; where a step-up is required, it has the user do it and calls once more. A second refusal is
// returned.
func withStepUp[T any](
	ctx context.Context,
	stepUp stepupv1.StepUpClient,
	ask Ask,
	call func(context.Context) (T, error),
) (T, error) {
	answer, err := call(ctx)
	info := errorInfo(err)
	if status.Code(err) != codes.PermissionDenied || info.GetReason() != "STEP_UP_REQUIRED" {
		return answer, err
	}
	required := info.GetMetadata()
	if required["reason"] == "spent" {
		return answer, ErrSpent
	}
	if err := stepUpByCode(ctx, stepUp, ask, required); err != nil {
		return answer, err
	}
	return call(ctx)
}

// stepUpByCode starts a code for what the refusal asks for, and verifies what the user types.
func stepUpByCode(ctx context.Context, stepUp stepupv1.StepUpClient, ask Ask, required map[string]string) error {
	// The metadata are strings: lists and objects in it are JSON. What is absent is not asked for.
	var channels struct {
		Otp []string `json:"otp"`
	}
	if err := json.Unmarshal([]byte(required["channels"]), &channels); err != nil {
		return err
	}
	if len(channels.Otp) == 0 {
		return errors.New("no codes are accepted")
	}
	channel, scope, binding := channels.Otp[0], field(required, "scope"), field(required, "binding")
	start := &stepupv1.StartOtpRequest{Channel: channel, Scope: scope, Binding: binding}
	if _, err := stepUp.StartOtp(ctx, start); err != nil {
		return err
	}
	for {
		code := ask(required["operation"], channel)
		if code == "" {
			_, err := stepUp.CancelOtp(ctx, &stepupv1.CancelOtpRequest{Channel: channel})
			return errors.Join(ErrCancelled, err)
		}
		verify := &stepupv1.VerifyOtpRequest{
			Channel:          channel,
			VerificationCode: &code,
			Scope:            scope,
			Binding:          binding,
		}
		_, err := stepUp.VerifyOtp(ctx, verify)
		switch errorInfo(err).GetReason() {
		case "VERIFICATION_CODE_INVALID", "ONE_CHALLENGE_LIMIT_REMAINING":
			continue
		}
		return err
	}
}

// field returns a field of the metadata, or nil where it is absent.
func field(required map[string]string, name string) *string {
	if value, ok := required[name]; ok {
		return &value
	}
	return nil
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: step_up ADDRESS LOGIN")
	}
	conn, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+os.Args[2])

	bank, transfer := bankv1.NewBankClient(conn), &bankv1.TransferRequest{To: "bob", Amount: 10}
	typed := bufio.NewScanner(os.Stdin)
	ask := func(operation, channel string) string {
		if operation != "" {
			fmt.Println("To approve:", operation)
		}
		fmt.Printf("Code from %s (empty to cancel): ", channel)
		if !typed.Scan() {
			return ""
		}
		return strings.TrimSpace(typed.Text())
	}
	call := func(ctx context.Context) (*bankv1.TransferResponse, error) { return bank.Transfer(ctx, transfer) }
	answer, err := withStepUp(ctx, stepupv1.NewStepUpClient(conn), ask, call)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("\npassed: %s, approved by %s\n", answer.GetId(), answer.GetApprovedBy())
}
